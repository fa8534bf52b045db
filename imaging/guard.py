"""Decodes the suspicious few in a process of their own, which may crash, hang or run out of memory.

Suspicious is whatever `Header.plain` denies: every GIF, TIFF and WebP; PNG, JPEG and BMP of more than
4 MiB or 2 megapixels; a PNG with a chunk beyond the everyday ones (profiles, compressed text,
animation), a JPEG with a lossless or arithmetic frame, a compressed or antique BMP. What is cut off
or contradicts itself never gets this far: reading its structure rejects it.

The process is started when the first such image comes, by `python -m imaging.guard`, and again when
it has died; it is never forked, because the caller may run threads. It ends with its caller. An image
takes about 0.08 ms longer this way (a TIFF of 64 x 64: 0.15 ms instead of 0.07), the first 0.2 s, and
one that kills the process 0.4 s, because it is tried again in a new one: the image before it may have
done the damage.

Frames on the socket are a letter, a length and as many bytes; no pickle, so that a decoder that has been
taken over can answer nothing but a wrong picture.
"""

import atexit
import os
import pathlib
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

import numpy as np

from imaging.errors import ImageError
from imaging.limits import MAX_PIXELS
from schemas.digit import SIDE
from schemas.failure import FailureCode

SECONDS: Final = 10.0
"""A decoder may take this long for one image; 16 megapixels take less than one."""

MEMORY: Final = 2**30
"""What the process may take beyond what it has after its start, bytes: five times the largest picture."""

_START_SECONDS: Final = 60.0
_ENDING_SECONDS: Final = 1.0
"""A process whose socket is closed ends within this time unless it hangs."""

_FRAME: Final = struct.Struct(">cI")
_SHAPE: Final = struct.Struct(">c3xIII")
"""Depth, height, width and channels; 16 bytes, so that the pixels behind it are aligned."""

_CHANNELS: Final = (0, 3, 4)
"""Length of the last axis; 0 where there is none."""

_DEPTHS: Final[dict[bytes, np.dtype]] = {b"B": np.dtype(np.uint8), b"H": np.dtype(np.uint16)}
_MOST_REPLY: Final = MAX_PIXELS * 8 + _SHAPE.size

PIXELS: Final = b"P"
DIGIT: Final = b"D"
_ERROR: Final = b"E"
_READY: Final = b"R"

Handler = Callable[[bytes, bytes], np.ndarray]
"""Takes `PIXELS` or `DIGIT` and a file's bytes."""


class GuardError(RuntimeError):
    """The guarded process cannot be started: nothing is wrong with any image."""


class Guard:
    """Asks a process of its own for pixels or digits; threads take turns.

    Args:
        command: what to run instead of `python -m imaging.guard`.
        seconds: how long one image may take.
    """

    def __init__(self, command: Sequence[str] | None = None, *, seconds: float = SECONDS) -> None:
        # -P: the working folder is the caller's, perhaps full of strangers' files, and no place for modules.
        self._command = list(command or (sys.executable, "-P", "-m", "imaging.guard"))
        self._seconds = seconds
        self.forget()

    def pixels(self, data: bytes) -> np.ndarray:
        """Returns what `decode` returns.

        Raises:
            ImageError: what `decode` raises; CORRUPT where the decoder crashed or took too long;
                TOO_LARGE where it ran out of memory.
            GuardError: when the process does not start.
        """
        return self._asked(PIXELS, data)

    def digit(self, data: bytes) -> np.ndarray:
        """Returns uint8[28, 28], the canonical digit; only that travels back, however large the picture.

        Raises:
            ImageError: as `pixels`, and BLANK.
            GuardError: when the process does not start.
        """
        digit = self._asked(DIGIT, data)
        if digit.shape != (SIDE, SIDE) or digit.dtype != np.uint8:
            raise ImageError(FailureCode.CORRUPT, "the decoder answered with something else than a digit")
        return digit

    def close(self) -> None:
        """Ends the process, if there is one; the next image starts another."""
        with self._lock:
            self._end()

    def forget(self) -> None:
        """Leaves the process to whom it belongs: a forked child must not talk to its parent's."""
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._socket: socket.socket | None = None

    def _asked(self, wanted: bytes, data: bytes) -> np.ndarray:
        with self._lock:
            fresh = self._process is None
            try:
                return self._exchange(wanted, data)
            except (EOFError, OSError) as error:
                failure = self._failure(error)
                if fresh or isinstance(error, TimeoutError):
                    raise failure from error
            # The image before this one may have left the process in ruins.
            try:
                return self._exchange(wanted, data)
            except (EOFError, OSError) as error:
                raise self._failure(error) from error

    def _exchange(self, wanted: bytes, data: bytes) -> np.ndarray:
        connection = self._socket or self._start()
        connection.settimeout(self._seconds)
        deadline = time.monotonic() + self._seconds
        connection.sendall(_FRAME.pack(wanted, len(data)))
        connection.sendall(data)
        answer, content = _receive(connection, deadline)
        try:
            return _array(content) if answer != _ERROR else _raised(content)
        except (ValueError, struct.error) as error:
            raise EOFError("the answer makes no sense") from error

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            # A session of its own: Ctrl-C is for the caller, whose end ends the process too.
            self._process = subprocess.Popen(
                self._command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": module_path()},
                start_new_session=True,
            )
        self._socket = ours
        atexit.unregister(self.close)
        atexit.register(self.close)
        try:
            _receive(ours, time.monotonic() + _START_SECONDS)
        except (EOFError, OSError) as error:
            ended = self._end()
            raise GuardError(f"the guarded decoder does not start: exit {ended}, {self._command}") from error
        return ours

    def _failure(self, error: Exception) -> ImageError:
        """Ends the process and returns what that means for its image."""
        late = isinstance(error, TimeoutError)
        if late and self._process is not None:
            self._process.kill()
        ended = self._end()
        if late or ended == -signal.SIGALRM:
            return ImageError(FailureCode.CORRUPT, f"the decoder took longer than {self._seconds:g} s")
        if ended == -signal.SIGKILL:
            return ImageError(FailureCode.TOO_LARGE, "the decoder was killed, most likely for its memory")
        how = signal.Signals(-ended).name if ended < 0 else f"exit code {ended}"
        return ImageError(FailureCode.CORRUPT, f"the decoder crashed: {how}")

    def _end(self) -> int:
        """Returns how the process ended: an exit code, or a signal's number below 0."""
        process, connection = self._process, self._socket
        self._process = self._socket = None
        if connection is not None:
            connection.close()
        if process is None:
            return 0
        try:
            # It may be ending just now, and how tells why.
            return process.wait(timeout=_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def module_path() -> str:
    """Returns where this process finds its modules, so that the other finds the same; no relative places."""
    root = str(pathlib.Path(__file__).resolve().parents[1])
    return os.pathsep.join([root, *filter(os.path.isabs, sys.path)])


GUARD: Final = Guard()
"""The one that this process uses; it runs nothing until it is asked."""

os.register_at_fork(after_in_child=GUARD.forget)


def serve(handler: Handler, connection: socket.socket, *, seconds: float = SECONDS) -> None:
    """Answers until the caller closes the connection.

    Args:
        handler: what to do with an image.
        connection: where requests come from.
        seconds: after this and one more the process kills itself, should its caller no longer live
            to do so.
    """
    connection.sendall(_FRAME.pack(_READY, 0))
    while True:
        try:
            wanted, data = _receive(connection, None)
        except (EOFError, OSError):
            return
        signal.setitimer(signal.ITIMER_REAL, seconds + 1)
        answer, content = _answer(handler, wanted, bytes(data))
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.sendall(_FRAME.pack(answer, len(content)))
        connection.sendall(content)


def _answer(handler: Handler, wanted: bytes, data: bytes) -> tuple[bytes, bytes]:
    try:
        return wanted, _bytes(handler(wanted, data))
    except ImageError as error:
        return _ERROR, f"{error.code} {error.detail}".encode(errors="replace")
    except MemoryError:
        return _ERROR, f"{FailureCode.TOO_LARGE} the decoder needs more than {MEMORY:,} bytes".encode()


def _bytes(array: np.ndarray) -> bytes:
    channels = array.shape[2] if array.ndim == 3 else 0
    return _SHAPE.pack(array.dtype.char.encode(), *array.shape[:2], channels) + array.tobytes()


def _array(content: bytearray) -> np.ndarray:
    depth, height, width, channels = _SHAPE.unpack_from(content)
    shape = (height, width, channels)[: 3 if channels else 2]
    if depth not in _DEPTHS or channels not in _CHANNELS:
        raise ValueError(f"{depth!r} {shape}")
    return np.frombuffer(content, _DEPTHS[depth], offset=_SHAPE.size).reshape(shape)


def _raised(content: bytearray) -> NoReturn:
    code, _, detail = content.decode().partition(" ")
    raise ImageError(FailureCode(code), detail)


def _receive(connection: socket.socket, deadline: float | None) -> tuple[bytes, bytearray]:
    """Returns the next frame's letter and content.

    Raises:
        EOFError: when the other side is gone.
        TimeoutError: after the deadline, in `time.monotonic` seconds.
    """
    letter, length = _FRAME.unpack(_exactly(connection, _FRAME.size, deadline))
    if length > _MOST_REPLY:
        raise EOFError(f"a frame of {length:,} bytes")
    return letter, _exactly(connection, length, deadline)


def _exactly(connection: socket.socket, size: int, deadline: float | None) -> bytearray:
    content = bytearray(size)
    view = memoryview(content)
    while view:
        if deadline is not None:
            connection.settimeout(max(1e-3, deadline - time.monotonic()))
        read = connection.recv_into(view)
        if not read:
            raise EOFError("the other side is gone")
        view = view[read:]
    return content


def _handle(wanted: bytes, data: bytes) -> np.ndarray:
    from imaging.canonical import canonicalise
    from imaging.decode import decode_here
    from imaging.header import read_header

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
