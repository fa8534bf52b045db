"""The guarded decoder: a process that decodes the images which its parent does not want to decode itself.

`digitmill.imaging.guard` starts it, by `python -m digitmill.imaging.decoder_process`.
"""

import pathlib
import resource
import signal
import socket
from collections.abc import Callable

import numpy as np

from digitmill.imaging.decoder_messages import DIGIT, ERROR, FRAME, READY, bytes_of, receive
from digitmill.imaging.limits import MEMORY, SECONDS
from schemas.failure import FailureCode, ImageError

Handler = Callable[[bytes, bytes], np.ndarray]
"""Takes `PIXELS` or `DIGIT` and a file's bytes."""


def serve(handler: Handler, connection: socket.socket, *, seconds: float = SECONDS) -> None:
    """Answers until the caller closes the connection.

    Args:
        handler: what to do with an image.
        connection: where requests come from.
        seconds: after this and one more the process kills itself, should its caller no longer live
            to do so.
    """
    connection.sendall(FRAME.pack(READY, 0))
    while True:
        try:
            wanted, data = receive(connection, None)
        except (EOFError, OSError):
            return
        signal.setitimer(signal.ITIMER_REAL, seconds + 1)
        answer, content = _answer(handler, wanted, bytes(data))
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.sendall(FRAME.pack(answer, len(content)))
        connection.sendall(content)


def _answer(handler: Handler, wanted: bytes, data: bytes) -> tuple[bytes, bytes]:
    try:
        return wanted, bytes_of(handler(wanted, data))
    except ImageError as error:
        return ERROR, f"{error.code} {error.detail}".encode(errors="replace")
    except MemoryError:
        return ERROR, f"{FailureCode.TOO_LARGE} the decoder needs more than {MEMORY:,} bytes".encode()


def _handle(wanted: bytes, data: bytes) -> np.ndarray:
    from digitmill.imaging.canonical import canonicalise
    from digitmill.imaging.decode import decode_here
    from digitmill.imaging.headers.header import read_header

    pixels = decode_here(data, read_header(data))
    return canonicalise(pixels) if wanted == DIGIT else pixels


def limit_memory(more: int = MEMORY) -> None:
    """Lets this process take at most so many bytes more of address space; where it can be known."""
    try:
        pages = int(pathlib.Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return
    most = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main() -> None:
    """Serves the caller on the socket that is standard input."""
    # A crash is an answer; a core dump of every hostile image would fill the disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit_memory()
    serve(_handle, socket.socket(fileno=0))


if __name__ == "__main__":
    main()
