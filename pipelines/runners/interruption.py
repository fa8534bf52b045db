"""Ends a run that is told to stop, or whose storage or workers fail, with one line that says how to go on."""

import contextlib
import logging
import os
import re
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final, NoReturn

import grpc

from digitmill.engines.engine import EngineError
from pipelines.runners.runner_failure import RunnerError, reason
from schemas.errors import ExitCode, StoppedError, StorageError, WorkerError

# Beam hands on what happened in a worker as text. These errors have texts of one line.
_KNOWN: Final = re.compile(
    r"^(?:schemas\.errors\.\w+|digitmill\.engines\.engine\.EngineError): (.+?)(?: \[while running .*)?$",
    re.MULTILINE,
)


@contextlib.contextmanager
def resumable(command: str) -> Iterator[None]:
    """Context manager around all that can be gone on with.

    Args:
        command: what goes on with it.

    Raises:
        StoppedError: on Ctrl-C, SIGTERM, and failures of the storage of worker processes or of the runner.
    """
    stop = _Stop()
    try:
        with stop.on_signals(), stop.without_tracebacks():
            yield
    except KeyboardInterrupt:
        _stop("told to stop", command)
    except (StorageError, WorkerError) as error:
        _stop(str(error), command)
    except EngineError as error:
        # Of an error that one text makes, Beam keeps the kind and lengthens the text.
        _stop(str(error).partition(" [while running ")[0], command)
    except (RunnerError, RuntimeError, grpc.RpcError) as error:
        why = _why(error, told=stop.told)
        if why is None:
            raise
        _stop(why, command)


def _why(error: Exception, *, told: bool) -> str | None:
    """Returns in one line why a pipeline ended; None where that is a bug."""
    explained = isinstance(error, RunnerError)
    known = _KNOWN.search(str(error.__cause__ if explained else error))
    if known:
        return known[1]
    if told:
        # Beam runs in this very thread, and makes a RuntimeError of the interruption too.
        return "told to stop"
    return str(error) if explained else reason(error)


def _stop(why: str, command: str) -> NoReturn:
    raise StoppedError(f"{why}; what is done is kept, and this goes on with it: {command}") from None


class _Stop:
    """Whether the run was told to stop.

    Attributes:
        told: it was.
    """

    def __init__(self) -> None:
        self.told = False

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Makes SIGTERM, which schedulers send, what Ctrl-C is."""
        if threading.current_thread() is not threading.main_thread():
            yield  # signals are the main thread's: whoever runs this in another one has ways of his own
            return
        before = {
            number: signal.signal(number, self._tell)
            for number in (signal.SIGINT, signal.SIGTERM)
            # A shell without job control starts background jobs with SIGINT ignored.
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _tell(self, number: int, frame: FrameType | None) -> None:
        if self.told:
            os._exit(ExitCode.CRASHED)  # told twice: nothing is lost, whatever the moment
        self.told = True
        raise KeyboardInterrupt

    @contextlib.contextmanager
    def without_tracebacks(self) -> Iterator[None]:
        """Keeps the tracebacks of known errors, which Beam logs several times over, out of the log."""
        handlers = logging.getLogger().handlers or ([logging.lastResort] if logging.lastResort else [])
        for handler in handlers:
            handler.addFilter(self._is_news)
        try:
            yield
        finally:
            for handler in handlers:
                handler.removeFilter(self._is_news)

    def _is_news(self, record: logging.LogRecord) -> bool:
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        return not self.told and _KNOWN.search(f"{record.getMessage()}\n{trace}") is None
