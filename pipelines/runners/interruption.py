"""Ends a stopped or failed run with one line that says how to resume it."""

import contextlib
import logging
import re
from collections.abc import Iterator
from typing import Final, NoReturn

import grpc

from digitmill.commands.stop_signals import StopSignals, stop_signals
from digitmill.engines.engine import EngineError
from pipelines.runners.runner_failure import RunnerError, failure_reason
from schemas.errors import StoppedError, StorageError, WorkerError, sentences

# Beam passes errors of workers on as text. The texts of these errors are one line.
_KNOWN: Final = re.compile(
    r"^(?:schemas\.errors\.\w+|digitmill\.engines\.engine\.EngineError): (.+?)(?: \[while running .*)?$",
    re.MULTILINE,
)


@contextlib.contextmanager
def resumable(command: str) -> Iterator[None]:
    """Context manager around work that `command` can resume.

    Raises:
        StoppedError: on Ctrl-C and SIGTERM, and on failures of storage, workers or the runner.
    """
    try:
        with stop_signals() as stop, _without_tracebacks(stop):
            yield
    except KeyboardInterrupt:
        _stop("stopped by a signal", command)
    except (StorageError, WorkerError) as error:
        _stop(str(error), command)
    except EngineError as error:
        # Beam keeps the type of an error with one text, and appends to the text.
        _stop(str(error).partition(" [while running ")[0], command)
    except (RunnerError, RuntimeError, grpc.RpcError) as error:
        why = _stop_reason(error, stop_requested=stop.requested)
        if why is None:
            raise
        _stop(why, command)


def _stop_reason(error: Exception, *, stop_requested: bool) -> str | None:
    """Return in one line why a pipeline ended; None for a bug."""
    from_runner = isinstance(error, RunnerError)
    known = _KNOWN.search(str(error.__cause__ if from_runner else error))
    if known:
        return known[1]
    if stop_requested:
        # Beam runs in this thread and may turn the interruption into a RuntimeError.
        return "stopped by a signal"
    return str(error) if from_runner else failure_reason(error)


def _stop(why: str, command: str) -> NoReturn:
    raise StoppedError(f"{sentences(why, 'Finished work is kept')} To resume: {command}") from None


@contextlib.contextmanager
def _without_tracebacks(stop: StopSignals) -> Iterator[None]:
    """Context manager that keeps tracebacks of known errors out of the log; Beam logs them repeatedly."""

    def is_news(record: logging.LogRecord) -> bool:
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        return not stop.requested and _KNOWN.search(f"{record.getMessage()}\n{trace}") is None

    handlers = logging.getLogger().handlers or ([logging.lastResort] if logging.lastResort else [])
    for handler in handlers:
        handler.addFilter(is_news)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(is_news)
