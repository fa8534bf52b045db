"""The decoder process: decodes the files that `digitmill.imaging.guard` sends it, one after another.

Started by `python -m digitmill.imaging.decoder_process`, with a socket as standard input.
"""

import contextlib
import errno
import gc
import pathlib
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from digitmill.imaging import decoder_messages as messages
from digitmill.imaging.canonical import canonicalize
from digitmill.imaging.decoders import open_pages
from digitmill.imaging.headers.header import read_header
from digitmill.imaging.limits import (
    DECODE_SECONDS,
    DECODER_GROWTH,
    DECODER_MEMORY,
    FILE_SECONDS,
    MAX_PAGES,
)
from schemas.failure import FailureCode, ImageError

Handler = Callable[[bytes, bytes], tuple[int, Callable[[int], np.ndarray]]]
"""Takes the kind of request, `PIXELS` or `DIGIT`, and a file's bytes; returns the number of its pages, and a
function that decodes one of them, counted from 0."""

_UNWATCHED_SECONDS: Final = 3600
"""Time after which a process ends that hangs without using the processor, should its caller be gone."""

_PAGE_BYTES: Final = resource.getpagesize()

_MACHINE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOSPC})
"""Errors of the system that say nothing about an image."""


def serve(handler: Handler, connection: socket.socket, *, seconds: float = DECODE_SECONDS) -> None:
    """Reply to requests until the caller closes the connection, or until the process has grown too large.

    A page that takes more processor time than `seconds` ends the process by SIGPROF. Time in which the
    machine is suspended or busy with other processes does not count.
    """
    messages.send(connection, messages.FRAME.pack(messages.READY, 0))
    most = _address_space() + DECODER_GROWTH
    while True:
        try:
            kind, content = messages.receive(connection)
        except (EOFError, OSError):
            return
        signal.setitimer(signal.ITIMER_REAL, _UNWATCHED_SECONDS)
        _limit_memory()
        for letter, parts in _replies(handler, kind, content, seconds=seconds):
            size = sum(map(len, parts))
            messages.send(connection, messages.FRAME.pack(letter, size), *parts)
        del parts  # the last page's memory
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if _address_space() > most:
            gc.collect()  # decoders' objects refer to each other and keep their pictures
            if _address_space() > most:
                return


def _replies(
    handler: Handler, kind: bytes, content: bytearray, *, seconds: float
) -> Iterator[tuple[bytes, tuple[bytes | memoryview, ...]]]:
    """Yield the replies to one request: their letters and contents."""
    start, most = messages.WANTED.unpack_from(content)
    data = bytes(memoryview(content)[messages.WANTED.size :])
    content.clear()
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        count, page = handler(kind, data)
    except Exception as error:
        yield _explained(error, messages.NO_FILE)
        return
    if count > 1 or start:
        yield messages.PAGES, (messages.COUNT.pack(count),)
    began = time.process_time()
    for number in range(start, min(count, start + most, MAX_PAGES)):
        # The first one may need all before it: frames are drawn over each other.
        needed = seconds * (number + 1) if number == start else seconds
        signal.setitimer(signal.ITIMER_PROF, min(needed, FILE_SECONDS))
        try:
            if time.process_time() - began > FILE_SECONDS:
                raise ImageError(FailureCode.TOO_LARGE, f"pages before it took {FILE_SECONDS:g} s to decode")
            array = np.ascontiguousarray(page(number))
        except Exception as error:
            yield _explained(error, messages.ERROR)
        else:
            # The array's own memory: a copy would double the largest picture.
            yield kind, (messages.array_head(array), array.data.cast("B"))


def _explained(error: Exception, letter: bytes) -> tuple[bytes, tuple[bytes]]:
    """Return the reply for an error; raise it again if it is neither the image's nor the machine's."""
    for cause in _causes(error):
        lacking = isinstance(cause, OSError) and cause.errno in _MACHINE
        # A module that is missing may be an extra that is not installed; this one does not load.
        unloaded = isinstance(cause, ImportError) and not isinstance(cause, ModuleNotFoundError)
        if lacking or unloaded:
            return messages.LACK, (str(cause).encode(errors="replace"),)
    if any(isinstance(cause, MemoryError) for cause in _causes(error)):
        return messages.NO_MEMORY, (b"",)
    if isinstance(error, ImageError):
        return letter, (f"{error.code} {error.detail}".encode(errors="replace"),)
    raise error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def handle(kind: bytes, data: bytes) -> tuple[int, Callable[[int], np.ndarray]]:
    """Open a file; see `Handler`."""
    pages = open_pages(data, read_header(data))
    if kind == messages.DIGIT:
        return pages.count, lambda number: canonicalize(pages.pixels(number))
    return pages.count, pages.pixels


def _limit_memory() -> None:
    """Let the process take `DECODER_MEMORY` in addition to what it has now; do nothing without /proc.

    Whatever came before, each file has the same room.
    """
    used = _address_space()
    if used:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + DECODER_MEMORY, hard))


def _address_space() -> int:
    """Return the bytes of this process's address space; 0 where that cannot be told."""
    try:
        # Not by pathlib, which takes five times as long.
        with open("/proc/self/statm", "rb", buffering=0) as file:
            return int(file.read(64).split()[0]) * _PAGE_BYTES
    except OSError:
        return 0


def prepare() -> None:
    """Apply the settings of the whole process."""
    # Ignored and blocked signals are inherited.
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGPROF, signal.SIGALRM))
    # The guard expects crashes; a core dump of every hostile image would fill the disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Where memory runs out, the kernel ends this process first: the guard starts another.
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def main() -> None:
    """Serve the caller on the socket at standard input."""
    prepare()
    serve(handle, socket.socket(fileno=0))


if __name__ == "__main__":
    main()
