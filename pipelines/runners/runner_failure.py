"""What became of a run whose runner gave up: one line that says why, and which work items are not done."""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import apache_beam as beam
import grpc

from digitmill.storage import OutputFolder
from pipelines.listing.frozen_listing import FrozenItem, load
from schemas.layout import STATISTICS, record_name

_FAILED: Final = re.compile(r"Pipeline \S+ failed in state \w+: (.+)", re.DOTALL)
"""How Beam's portable runners word a job's end; what follows may be a worker's whole traceback."""

_FRAME: Final = re.compile(r'^(?:Traceback |  |\s*(?:File "|\^|at ))')

_MISSING: Final = re.compile(r"No module named '(?:pipelines|schemas|digitmill)\b")

_LOST: Final = re.compile(r"StatusRuntimeException: CANCELLED: client cancelled")
"""What Flink's side says of a worker whose connections broke: nothing but that."""


class RunnerError(Exception):
    """A runner, or the workers that it had, gave up in the middle of a run. What is done is kept."""


def reason(error: BaseException) -> str | None:
    """Returns in one line why a portable runner ended, or None for errors of any other kind."""
    if isinstance(error, grpc.RpcError):
        return f"the job server is gone: {_rpc_detail(error)}"
    failed = _FAILED.match(str(error)) if isinstance(error, RuntimeError) else None
    if failed is None:
        return None
    text = failed[1]
    if _MISSING.search(text):
        return "the workers have no digitmill: install this version of it where they run"
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _FRAME.match(line)]
    last = lines[-1] if lines else "it did not say why"
    if _LOST.search(last):
        last = "a worker was gone each time, as one is whose memory limit is too low"
    return f"the runner gave up: {last}"


def _rpc_detail(error: grpc.RpcError) -> str:
    # Only what a call raises has these; the base class has nothing at all.
    code, details = (getattr(error, name, lambda: None)() for name in ("code", "details"))
    return " ".join(f"{getattr(code, 'name', 'no answer')} {details or ''}".split())


@contextlib.contextmanager
def explained(output: OutputFolder, items: Sequence[FrozenItem]) -> Iterator[None]:
    """Context manager around the run of a pipeline.

    Args:
        output: where work items leave their records.
        items: the work items that the launcher knows of.

    Raises:
        RunnerError: when a portable runner has given up, with the work items that are not done.
    """
    try:
        with _quiet_threads():
            yield
    except (RuntimeError, grpc.RpcError) as error:
        why = reason(error)
        if why is None:
            raise
        # The whole of what Beam said stays the cause: known errors of workers are looked for in it.
        raise RunnerError(f"{why}; {unfinished(output, items)}") from error


def unfinished(output: OutputFolder, items: Sequence[FrozenItem]) -> str:
    """Returns in words how many work items have no record, and which is the first."""
    if not items:
        return "the launcher does not know which work items are left"
    done = output.names(STATISTICS)
    left = [item for item in items if record_name(item.digest) not in done]
    if not left:
        return f"all {len(items):,} work items are done"
    first = left[0]
    begins = load(output, first.ref).images[0].uri
    return (
        f"{len(left):,} of {len(items):,} work items are not done, the first of them {first.digest}, "
        f"which begins with {begins!r}"
    )


@contextlib.contextmanager
def cancelled_with_launcher(pipeline: beam.Pipeline) -> Iterator[None]:
    """Context manager that takes a job back from the cluster when the launcher is told to stop.

    A cluster would work on for a launcher that is gone, beside the one that goes on with the run.
    """
    try:
        yield
    except KeyboardInterrupt:
        cancel: Callable[[], Any] | None = getattr(getattr(pipeline, "result", None), "cancel", None)
        if cancel is not None:
            # In-process engines have nothing to cancel; a job server that is gone cannot any more.
            with contextlib.suppress(NotImplementedError, grpc.RpcError, RuntimeError):
                cancel()
        raise


@contextlib.contextmanager
def _quiet_threads() -> Iterator[None]:
    """Keeps the traceback of Beam's message thread out of the log: the run meets the same error."""
    before = threading.excepthook

    def hook(given: Any) -> None:
        if not isinstance(given.exc_value, grpc.RpcError):
            before(given)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before
