"""Ends a run that is told to stop, or whose storage fails, with one line that says how to go on."""

import contextlib
import logging
import re
import signal
import threading
from collections.abc import Iterator
from typing import Final, NoReturn

from schemas.errors import StoppedError, StorageError

# Beam hands on what happened in a worker as text. These errors have texts of one line.
_KNOWN: Final = re.compile(
    r"^(?:schemas\.errors\.\w+|pipelines\.engine\.EngineError): (.+?)(?: \[while running .*)?$", re.M
)


@contextlib.contextmanager
def resumable(command: str) -> Iterator[None]:
    """Context manager around all that can be gone on with.

    Args:
        command: what goes on with it.

    Raises:
        StoppedError: on Ctrl-C, SIGTERM, and failures of the storage.
    """
    try:
        with _terminated_as_interrupted(), _without_tracebacks():
            yield
    except KeyboardInterrupt:
        _stop("it was told to stop", command)
    except StorageError as error:
        _stop(str(error), command)
    except RuntimeError as error:
        known = _KNOWN.search(str(error))
        if known is None:
            raise
        _stop(known[1], command)


def _stop(why: str, command: str) -> NoReturn:
    raise StoppedError(f"{why}; what is done is kept, and this goes on with it: {command}") from None


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Makes SIGTERM, which schedulers send, what Ctrl-C is."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's, and so whoever runs this in another one has his own way
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _without_tracebacks() -> Iterator[None]:
    """Keeps the tracebacks of known errors, which Beam logs several times over, out of the log."""

    def unknown(record: logging.LogRecord) -> bool:
        text = record.getMessage() + (
            logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        )
        return _KNOWN.search(text) is None

    handlers = logging.getLogger().handlers or ([logging.lastResort] if logging.lastResort else [])
    for handler in handlers:
        handler.addFilter(unknown)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(unknown)
