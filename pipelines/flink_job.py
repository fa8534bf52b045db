"""Takes a job back from a Flink cluster: Beam drops its own end of the job, and Flink works on."""

import contextlib
import logging
import uuid
from collections.abc import Iterator
from typing import Final

import requests
from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
)
from apache_beam.runners.portability.flink_runner import MAGIC_HOST_NAMES, FlinkRunner

_LOG = logging.getLogger(__name__)
_SECONDS: Final = 10.0
_ENDED: Final = frozenset({"FINISHED", "CANCELED", "FAILED"})


@contextlib.contextmanager
def taken_back(options: PipelineOptions) -> Iterator[None]:
    """Context manager around a job: one on a Flink cluster is cancelled there when the launcher is stopped.

    Args:
        options: of the pipeline; a job without a name gets one, by which it is found.
    """
    master = _master(options)
    cloud = options.view_as(GoogleCloudOptions)  # where Beam keeps the name, whatever the runner
    if master is not None and cloud.job_name is None:
        cloud.job_name = f"digitmill-{uuid.uuid4().hex}"
    try:
        yield
    except KeyboardInterrupt:
        if master is not None:
            _cancel(master, cloud.job_name)
        raise


def _master(options: PipelineOptions) -> str | None:
    """Returns the job manager's address; None where there is none that outlives the launcher."""
    flink = options.view_as(FlinkRunnerOptions)
    runner = options.view_as(StandardOptions).runner or ""
    # Said before the run: Beam writes another value there when it sends one jar.
    if runner.rpartition(".")[2] != FlinkRunner.__name__ or flink.flink_master in MAGIC_HOST_NAMES:
        return None
    return FlinkRunner.add_http_scheme(flink.flink_master)


def _cancel(master: str, name: str) -> None:
    """Cancels the running job of a name; of several none, for one may be somebody else's."""
    try:
        known = requests.get(f"{master}/v1/jobs/overview", timeout=_SECONDS).json()["jobs"]
        running = [job["jid"] for job in known if job["name"] == name and job["state"] not in _ENDED]
        if len(running) > 1:
            _LOG.warning("%d jobs at %s are named %r: cancel the right one there", len(running), master, name)
        elif running:
            asked = {"mode": "cancel"}
            requests.patch(
                f"{master}/v1/jobs/{running[0]}", params=asked, timeout=_SECONDS
            ).raise_for_status()
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        _LOG.warning("the job %r could not be cancelled, and may go on at %s: %s", name, master, error)
