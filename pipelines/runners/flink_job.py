"""Takes a job back from a Flink cluster: Beam drops its own end of the job, and Flink works on."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any, Final

import apache_beam as beam
import requests
from apache_beam.options.pipeline_options import FlinkRunnerOptions
from apache_beam.runners.portability.flink_runner import MAGIC_HOST_NAMES, FlinkRunner

_LOG = logging.getLogger(__name__)
_SECONDS: Final = 10.0
_ENDED: Final = frozenset({"FINISHED", "CANCELED", "FAILED"})


@contextlib.contextmanager
def taken_back(pipeline: beam.Pipeline) -> Iterator[None]:
    """Context manager around a run: its job on a Flink cluster is cancelled when the launcher is stopped."""
    # Asked before the run: Beam writes another address there when it sends one jar.
    master = _master(pipeline)
    try:
        yield
    except KeyboardInterrupt:
        result = getattr(pipeline, "result", None)
        if master is not None and result is not None:
            _cancel(master, result)
        raise


def _master(pipeline: beam.Pipeline) -> str | None:
    """Returns the job manager's address; None where there is none that outlives the launcher."""
    named = pipeline.options.view_as(FlinkRunnerOptions).flink_master
    if not isinstance(pipeline.runner, FlinkRunner) or named in MAGIC_HOST_NAMES:
        return None
    return FlinkRunner.add_http_scheme(named)


def _cancel(master: str, result: Any) -> None:
    try:
        for job in _flink_jobs(master, result):
            asked = {"mode": "cancel"}
            requests.patch(f"{master}/v1/jobs/{job}", params=asked, timeout=_SECONDS).raise_for_status()
    except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError) as error:
        _LOG.warning("job %s may go on at %s, where it could not be cancelled: %s", result, master, error)


def _flink_jobs(master: str, result: Any) -> list[str]:
    """Returns Flink's number of a job, or nothing when it has ended."""
    within = getattr(result._job_service, "_jobs", None)
    if within is not None:  # who sends one jar is told the number
        return [within[result._job_id]._flink_job_id]
    # A job server calls the job what Flink calls it, and a number of its own behind that.
    name = result._job_id.rpartition("_")[0]
    known = requests.get(f"{master}/v1/jobs/overview", timeout=_SECONDS).json()["jobs"]
    return [job["jid"] for job in known if job["name"] == name and job["state"] not in _ENDED]
