"""The decoder process: decodes the images that `digitmill.imaging.guard` sends it, one after another.

Started by `python -m digitmill.imaging.decoder_process`, with a socket as standard input.
"""

import pathlib
import resource
import signal
import socket
from collections.abc import Callable

import numpy as np

from digitmill.imaging.decoder_messages import DIGIT, ERROR, FRAME, READY, encode_array, receive
from digitmill.imaging.limits import DECODE_SECONDS, DECODER_MEMORY
from schemas.failure import FailureCode, ImageError

Handler = Callable[[bytes, bytes], np.ndarray]
"""Takes the kind of request, `PIXELS` or `DIGIT`, and a file's bytes."""


def serve(handler: Handler, connection: socket.socket, *, seconds: float = DECODE_SECONDS) -> None:
    """Replies to requests until the caller closes the connection.

    One second after its time limit an image ends the process, in case the caller is no longer there to end
    it.
    """
    connection.sendall(FRAME.pack(READY, 0))
    while True:
        try:
            kind, data = receive(connection, None)
        except (EOFError, OSError):
            return
        signal.setitimer(signal.ITIMER_REAL, seconds + 1)
        reply, content = _reply(handler, kind, bytes(data))
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.sendall(FRAME.pack(reply, len(content)))
        connection.sendall(content)


def _reply(handler: Handler, kind: bytes, data: bytes) -> tuple[bytes, bytes]:
    try:
        return kind, encode_array(handler(kind, data))
    except ImageError as error:
        return ERROR, f"{error.code} {error.detail}".encode(errors="replace")
    except MemoryError:
        return ERROR, f"{FailureCode.TOO_LARGE} the decoder needs more than {DECODER_MEMORY:,} bytes".encode()


def _handle(kind: bytes, data: bytes) -> np.ndarray:
    from digitmill.imaging.canonical import canonicalise
    from digitmill.imaging.decoders import open_pages
    from digitmill.imaging.headers.header import read_header

    pixels = open_pages(data, read_header(data)).pixels(0)
    return canonicalise(pixels) if kind == DIGIT else pixels


def limit_memory(more: int = DECODER_MEMORY) -> None:
    """Caps this process's address space at what it has now and `more` bytes; does nothing without /proc."""
    try:
        pages = int(pathlib.Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return
    most = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main() -> None:
    """Serves the caller on the socket that is standard input."""
    # The guard expects crashes; a core dump of every hostile image would fill the disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit_memory()
    serve(_handle, socket.socket(fileno=0))


if __name__ == "__main__":
    main()
