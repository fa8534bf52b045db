"""Keeps messages of native libraries off standard error, while they load and while they decode.

TensorFlow, oneDNN, XLA, absl and LiteRT write to descriptor 2 itself, before and whatever
TF_CPP_MIN_LOG_LEVEL says; libpng and libjpeg write to C's `stderr`, and name no image.
"""

import contextlib
import ctypes
import functools
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Final

LEVEL: Final = "TF_CPP_MIN_LOG_LEVEL"
"""Environment variable: what TensorFlow logs, from 0 for all to 3 for fatal errors only."""

_DESCRIPTOR: Final = threading.RLock()


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Context manager for a process's first import of TensorFlow, which then logs only errors.

    Keeps an existing value of TF_CPP_MIN_LOG_LEVEL.
    """
    os.environ.setdefault(LEVEL, "2")
    with quiet_stderr():
        yield


@contextlib.contextmanager
def quiet_stderr(*, shown_on_error: bool = True) -> Iterator[None]:
    """Context manager that holds back standard error, and shows it on an exception if `shown_on_error`.

    Includes output of native code and child processes. Threads take turns, because they share the descriptor.
    """
    with _DESCRIPTOR:
        _flush()
        try:
            saved = os.dup(2)
        except OSError:
            yield  # it is closed: there is nothing to hold back
            return
        with tempfile.TemporaryFile() if shown_on_error else open(os.devnull, "r+b") as file:
            os.dup2(file.fileno(), 2)
            try:
                yield
            except BaseException:
                _flush()
                file.seek(0)
                os.write(saved, file.read())
                raise
            finally:
                _flush()
                os.dup2(saved, 2)
                os.close(saved)


def _flush() -> None:
    if sys.stderr is not None:  # it is where the descriptor was closed when Python started
        sys.stderr.flush()


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Context manager that drops what native code prints to C's `stderr`; threads may enter it concurrently.

    Python's own messages, tracebacks and crash reports, and output of child processes, go to descriptor 2 and
    are not dropped. Without glibc, nothing is dropped.
    """
    _STREAM.enter()
    try:
        yield
    finally:
        _STREAM.leave()


class _CStream:
    """C's `stderr` of this process: a pointer to a stream, which glibc lets one replace."""

    def __init__(self) -> None:
        self.forget()
        self._real: int | None = None

    def forget(self) -> None:
        """Forget all users: in a forked child their threads do not exist."""
        self._lock = threading.Lock()
        self._users = 0

    def enter(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1 and self._streams is not None:
                variable, nowhere = self._streams
                self._real, variable.value = variable.value, nowhere

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._streams is not None:
                self._streams[0].value = self._real

    @functools.cached_property
    def _streams(self) -> tuple[ctypes.c_void_p, int] | None:
        """The pointer, and a stream that leads nowhere; None where there is none."""
        library = ctypes.CDLL(None)
        if not hasattr(library, "gnu_get_libc_version"):
            return None
        library.fopen.restype = ctypes.c_void_p
        nowhere = library.fopen(os.fsencode(os.devnull), b"w")
        return (ctypes.c_void_p.in_dll(library, "stderr"), nowhere) if nowhere else None


_STREAM: Final = _CStream()

os.register_at_fork(after_in_child=_STREAM.forget)
