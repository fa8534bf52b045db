"""Cancels a run's job on its cluster when the launcher is stopped.

Otherwise the cluster would continue the job while another launcher resumes the run. On Flink, Beam's own
`cancel` leaves the job running, so it is cancelled through Flink's REST service.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import apache_beam as beam
import grpc

from pipelines.runners.flink_workers import flink_master

_LOG = logging.getLogger(__name__)
ANSWER_SECONDS: Final = 10.0
"""Timeout of requests, in seconds."""
_ENDED: Final = frozenset({"FINISHED", "CANCELED", "FAILED"})


@contextlib.contextmanager
def cancel_on_interrupt(pipeline: beam.Pipeline) -> Iterator[None]:
    """Context manager around a pipeline's run that cancels its job on KeyboardInterrupt."""
    # Read before the run: Beam overwrites the address when it sends one jar.
    master = flink_master(pipeline.options)
    try:
        yield
    except KeyboardInterrupt:
        result = getattr(pipeline, "result", None)
        if master is not None and result is not None:
            _cancel_on_flink(master, result)
        cancel: Callable[[], Any] | None = getattr(result, "cancel", None)
        if cancel is not None:
            # Beam waits for a silent job server forever.
            asking = threading.Thread(target=_cancel, args=(cancel,), daemon=True)
            asking.start()
            asking.join(ANSWER_SECONDS)
        raise


def _cancel(cancel: Callable[[], Any]) -> None:
    # In-process engines cannot cancel, and neither can a job server that is gone.
    with contextlib.suppress(NotImplementedError, grpc.RpcError, RuntimeError):
        cancel()


def _cancel_on_flink(master: str, result: Any) -> None:
    import requests

    try:
        for job in _flink_jobs(master, result):
            mode = {"mode": "cancel"}
            requests.patch(f"{master}/v1/jobs/{job}", params=mode, timeout=ANSWER_SECONDS).raise_for_status()
    except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError) as error:
        _LOG.warning("cannot cancel job %s, which may still run at %s: %s", result, master, error)


def _flink_jobs(master: str, result: Any) -> list[str]:
    """Return Flink's ID of the job; nothing when it has ended."""
    submitted = getattr(result._job_service, "_jobs", None)
    if submitted is not None:  # submitted as one jar, by this process
        return [submitted[result._job_id]._flink_job_id]
    import requests

    # A job server appends a number of its own to the name that the job has in Flink.
    name = result._job_id.rpartition("_")[0]
    jobs = requests.get(f"{master}/v1/jobs/overview", timeout=ANSWER_SECONDS).json()["jobs"]
    return [job["jid"] for job in jobs if job["name"] == name and job["state"] not in _ENDED]
