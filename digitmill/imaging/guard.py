"""Decodes images that may harm a decoder in a process of its own, which may crash, hang or run out of memory.

These are all images whose `Header.plain` is false: every GIF, BMP, TIFF and WebP; PNG and JPEG of more than
4 MiB or 2 megapixels; a PNG with an unusual chunk (profile, compressed text, animation); a JPEG with a
lossless or arithmetic frame. A PNG or JPEG that is cut off or contradicts itself never gets this far: reading
its header rejects it.

The process is started for the first such image, by `python -m digitmill.imaging.decoder_process`, and again
after it has died; it is never forked, because the caller may run threads. It ends with its caller. It adds
about 0.08 ms to an image (a TIFF of 64 x 64 takes 0.15 ms instead of 0.07), 0.2 s to the first, and 0.4 s to
one that kills the process: such an image is tried again in a new process, because the image before it may
have done the damage.
"""

import atexit
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Final

import numpy as np

from digitmill.imaging.decoder_messages import DIGIT, ERROR, FRAME, PIXELS, decode_array, raise_error, receive
from digitmill.imaging.limits import DECODE_SECONDS, MAX_PIXELS, OPENCV_MAX_PIXELS
from schemas.digit import SIDE
from schemas.failure import FailureCode, ImageError

_START_SECONDS: Final = 60.0
_ENDING_SECONDS: Final = 1.0
"""A process whose socket is closed ends within this time unless it hangs."""


class GuardError(RuntimeError):
    """The guarded process cannot be started: nothing is wrong with any image."""


class Guard:
    """A client of the decoder process, which may take `seconds` for an image; threads take turns."""

    def __init__(self, command: Sequence[str] | None = None, *, seconds: float = DECODE_SECONDS) -> None:
        # -P: never imports modules from the working folder, which may hold untrusted files.
        self._command = list(command or (sys.executable, "-P", "-m", "digitmill.imaging.decoder_process"))
        self._seconds = seconds
        self.forget()

    def pixels(self, data: bytes) -> np.ndarray:
        """Returns what `decode` returns.

        Raises:
            ImageError: what `decode` raises; CORRUPT where the decoder crashed or took too long;
                TOO_LARGE where it ran out of memory.
            GuardError: when the process does not start.
        """
        return self._request(PIXELS, data)

    def digit(self, data: bytes) -> np.ndarray:
        """Returns uint8[28, 28], the canonical digit; only that travels back, however large the picture.

        Raises:
            ImageError: as `pixels`, and BLANK.
            GuardError: when the process does not start.
        """
        digit = self._request(DIGIT, data)
        if digit.shape != (SIDE, SIDE) or digit.dtype != np.uint8:
            raise ImageError(FailureCode.CORRUPT, "the decoder returned no digit")
        return digit

    def close(self) -> None:
        """Ends the process, if there is one; the next image starts another."""
        with self._lock:
            self._end()

    def forget(self) -> None:
        """Forgets the process without ending it: in a forked child it belongs to the parent."""
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._socket: socket.socket | None = None

    def _request(self, kind: bytes, data: bytes) -> np.ndarray:
        with self._lock:
            fresh = self._process is None
            try:
                return self._exchange(kind, data)
            except (EOFError, OSError) as error:
                failure = self._failure(error)
                if fresh or isinstance(error, TimeoutError):
                    raise failure from error
            # The image before this one may have damaged the process.
            try:
                return self._exchange(kind, data)
            except (EOFError, OSError) as error:
                raise self._failure(error) from error

    def _exchange(self, kind: bytes, data: bytes) -> np.ndarray:
        connection = self._socket or self._start()
        connection.settimeout(self._seconds)
        deadline = time.monotonic() + self._seconds
        connection.sendall(FRAME.pack(kind, len(data)))
        connection.sendall(data)
        reply, content = receive(connection, deadline)
        try:
            return decode_array(content) if reply != ERROR else raise_error(content)
        except (ValueError, struct.error) as error:
            raise EOFError("malformed reply") from error

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            # A session of its own: Ctrl-C is for the caller, whose end ends the process too.
            self._process = subprocess.Popen(
                self._command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": module_path(), OPENCV_MAX_PIXELS: str(MAX_PIXELS)},
                start_new_session=True,
            )
        self._socket = ours
        atexit.unregister(self.close)
        atexit.register(self.close)
        try:
            receive(ours, time.monotonic() + _START_SECONDS)
        except (EOFError, OSError) as error:
            ended = self._end()
            raise GuardError(f"the decoder process does not start: exit code {ended}") from error
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
            # It may be ending just now; its exit code tells why.
            return process.wait(timeout=_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def module_path() -> str:
    """Returns a PYTHONPATH, absolute folders only, that gives another process the modules of this one."""
    root = str(pathlib.Path(__file__).resolve().parents[2])
    return os.pathsep.join([root, *filter(os.path.isabs, sys.path)])


GUARD: Final = Guard()
"""The guard that this process uses; it starts nothing before the first request."""

os.register_at_fork(after_in_child=GUARD.forget)
