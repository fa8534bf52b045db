"""Explains in one line why a runner gave up, and which work items are not done."""

import contextlib
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final

import grpc

from digitmill.storage import OutputFolder
from pipelines.listing.frozen_listing import FrozenItem, load_item
from schemas.layout import STATISTICS, record_name

_FAILED: Final = re.compile(r"Pipeline \S+ failed in state \w+: (.+)", re.DOTALL)
"""Beam's message for a failed job of a portable runner; the rest may be a worker's whole traceback."""

_FRAME: Final = re.compile(r'^(?:Traceback |  |\s*(?:File "|\^|at ))')

_MISSING: Final = re.compile(r"No module named '(?:pipelines|schemas|digitmill)\b")

_UNCONNECTED: Final = re.compile(r"No client connected within timeout|TimeoutException: Waited 3 minutes")
"""Flink's message when a worker failed before it opened its data connection, as it does without this package.
The worker's own error may arrive before it or not at all."""

_LOST: Final = re.compile(r"StatusRuntimeException: CANCELLED: client cancelled")
"""Flink's message when a worker's connections broke."""


class RunnerError(Exception):
    """A runner or its workers gave up during a run. Finished work is kept."""


def failure_reason(error: BaseException) -> str | None:
    """Return in one line why a portable runner failed; None for other errors."""
    if isinstance(error, grpc.RpcError):
        return f"lost the job server: {_rpc_detail(error)}"
    failed = _FAILED.match(str(error)) if isinstance(error, RuntimeError) else None
    if failed is None:
        return None
    text = failed[1]
    if _MISSING.search(text):
        return "digitmill is not installed on the workers: install this version of it there"
    if _UNCONNECTED.search(text):
        return (
            "the workers took no work for three minutes. Look at their log; most likely digitmill is not "
            "installed on the workers: install this version of it there"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _FRAME.match(line)]
    last = lines[-1] if lines else "it gave no reason"
    if _LOST.search(last):
        last = "a worker died at each attempt; its memory limit may be too low"
    return f"the runner gave up: {last}"


def _rpc_detail(error: grpc.RpcError) -> str:
    # The base class lacks these methods; only errors of calls have them.
    code, details = (getattr(error, name, lambda: None)() for name in ("code", "details"))
    return " ".join(f"{getattr(code, 'name', 'no answer')} {details or ''}".split())


@contextlib.contextmanager
def explain_failures(output: OutputFolder, items: Sequence[FrozenItem]) -> Iterator[None]:
    """Context manager around a pipeline's run that explains a runner's failure.

    The launcher may still add `items`.

    Raises:
        RunnerError: when a portable runner gave up, with the work items that are not done.
    """
    try:
        with _quiet_threads():
            yield
    except (RuntimeError, grpc.RpcError) as error:
        reason = failure_reason(error)
        if reason is None:
            raise
        # Beam's whole message stays the cause: it is searched for known errors of workers.
        raise RunnerError(f"{reason}; {describe_unfinished(output, items)}") from error


def describe_unfinished(output: OutputFolder, items: Sequence[FrozenItem]) -> str:
    """Describe how many work items have no record, and which is the first."""
    if not items:
        return "the launcher does not know which work items are left"
    done = output.names(STATISTICS)
    left = [item for item in items if record_name(item.digest) not in done]
    if not left:
        return f"all {len(items):,} listed work items are done"
    first = left[0]
    begins = load_item(output, first.ref).images[0].uri
    return (
        f"{len(left):,} of {len(items):,} work items are not done, the first of them {first.digest}, "
        f"which starts with {begins!r}"
    )


@contextlib.contextmanager
def _quiet_threads() -> Iterator[None]:
    """Hide the traceback of Beam's message thread: the run reports the same error."""
    before = threading.excepthook

    def hook(given: Any) -> None:
        if not isinstance(given.exc_value, grpc.RpcError):
            before(given)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before
