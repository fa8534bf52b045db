"""Keeps closed, full or unread standard streams from ending a run."""

import contextlib
import errno
import io
import os
import sys
from typing import Any, TextIO


def secure() -> None:
    """Open closed descriptors 0 to 2 on /dev/null, and ignore failed writes to standard streams.

    Call it before opening any file, which would otherwise get the number of a closed descriptor and with it
    the output of native libraries.
    """
    closed = [number for number in range(3) if not _is_open(number)]
    for number in closed:
        # The lowest free number, in turn. Child processes inherit it, as they would the real one.
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if number == 0:
            sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as long as the process
    # Streams that a test or a notebook has put in their place stay.
    if sys.stdout is sys.__stdout__:
        sys.stdout = _dropping(sys.stdout, 1)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _dropping(sys.stderr, 2)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _dropping(stream: TextIO | None, number: int) -> TextIO:
    """Return a stream like another, or like Python's own where there is none, that drops what it must."""
    if stream is not None:
        stream.flush()
    raw = _Dropping(number, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(stream, "encoding", "utf-8"),
        errors=getattr(stream, "errors", "backslashreplace"),
        line_buffering=number == 2 or raw.isatty(),
        write_through=bool(getattr(stream, "write_through", False)),
    )


def lost_output() -> str:
    """Return why writing to standard output failed; empty if it did not, or if its reader has exited."""
    with contextlib.suppress(ValueError):  # a closed stream
        sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.lost if isinstance(raw, _Dropping) else ""


class _Dropping(io.FileIO):
    """A file that takes everything: what its device refuses is lost.

    Attributes:
        lost: why output could not be written; empty if it was, or if only its reader has gone.
    """

    lost = ""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno != errno.EPIPE:
                self.lost = error.strerror or type(error).__name__
            return memoryview(data).nbytes
