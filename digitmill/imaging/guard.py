"""Decodes risky images in a separate process, which may crash, hang or run out of memory.

These are all images whose `Header.plain` is false: every GIF, BMP, TIFF and WebP; PNG and JPEG of more than
4 MiB or 2 megapixels; a PNG with an unusual chunk (profile, compressed text, animation); a JPEG with a
lossless or arithmetic frame. A PNG or JPEG that is cut off or contradicts itself never gets this far: reading
its header rejects it.

The process is started for the first such image, by `python -m digitmill.imaging.decoder_process`, and again
after it has died. It is never forked, because the caller may run threads. It ends with its caller. It adds
about 0.08 ms to an image, 0.2 s to the first one, and 0.4 s to one that kills the process.

A page that crashes the decoder, or takes too much processor time or memory, fails if it does so again in a
fresh process. If the process is killed from outside or cannot start, the machine is at fault: after some
tries the run ends.
"""

import atexit
import contextlib
import os
import pathlib
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Final

import numpy as np

from digitmill.imaging import decoder_messages as messages
from digitmill.imaging.decoder_faults import (
    ENDS,
    Ends,
    GarbledError,
    LackError,
    MemoryLimitError,
    StallError,
    StartError,
    end_text,
)
from digitmill.imaging.limits import MAX_PAGES, MAX_PIXELS, OPENCV_MAX_PIXELS, STALL_SECONDS
from schemas.digit import SIDE
from schemas.failure import FailureCode, ImageError

_FAILED_PAGES: Final = 3
"""Pages of a file that may end the process until the file's others are given up."""

_ENDING_SECONDS: Final = 1.0
"""A process whose socket is closed ends within this time unless it hangs."""

_TICK_SECONDS: Final = 1.0

Outcome = np.ndarray | ImageError
"""A page's pixels or digit, or why there is none."""


class Guard:
    """A client of the decoder process; threads take turns.

    Args:
        command: command that starts the process.
        stall: seconds without activity after which the process is restarted.
    """

    def __init__(self, command: Sequence[str] | None = None, *, stall: int = STALL_SECONDS) -> None:
        # -P: never imports modules from the working folder, which may hold untrusted files.
        self._command = list(command or (sys.executable, "-P", "-m", "digitmill.imaging.decoder_process"))
        self._stall = stall
        self.forget()

    def pixels(self, data: bytes, page: int = 0) -> np.ndarray:
        """Return the pixels of a page, counted from 0, in the form of `decode`.

        Raises:
            ImageError: as in `decode`; CORRUPT when the decoder crashes or takes too long; TOO_LARGE when it
                takes too much memory.
            WorkerError: when the process does not start, or is killed repeatedly.
        """
        return _picture(self._read(_Reading(messages.PIXELS, data, start=page, most=1)).outcomes)

    def digit(self, data: bytes) -> np.ndarray:
        """Return the first page's canonical digit, uint8[28, 28]; the process sends back nothing else.

        Raises:
            ImageError: as in `pixels`, and BLANK.
            WorkerError: as in `pixels`.
        """
        return _picture(self._read(_Reading(messages.DIGIT, data, most=1)).outcomes)

    def digits(self, data: bytes) -> tuple[int, list[Outcome]]:
        """Return the number of pages, and the canonical digits of the first `MAX_PAGES` or their errors.

        The file is sent to the process once, even if it has many pages. If the pages cannot be counted, the
        result is one page with an error.

        Raises:
            WorkerError: as in `pixels`.
        """
        reading = self._read(_Reading(messages.DIGIT, data, most=MAX_PAGES))
        return reading.count, reading.outcomes

    def close(self) -> None:
        """End the process, if there is one; the next image starts a new one."""
        with self._lock:
            self._end()

    def forget(self) -> None:
        """Forget the process without ending it, for a forked child: the process belongs to the parent."""
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._socket: socket.socket | None = None
        self._used = False

    def _read(self, reading: "_Reading") -> "_Reading":
        """Completes what is read."""
        with self._lock:
            while not reading.complete:
                try:
                    self._exchange(reading)
                except ENDS as error:
                    fresh, self._used = not self._used, False
                    reading.blame(error, self._end(), fresh=fresh)
                except BaseException:
                    # The rest of the reply would be taken for that of the next request.
                    self._end()
                    raise
        return reading

    def _exchange(self, reading: "_Reading") -> None:
        connection = self._socket or self._start()
        tick = self._watch()
        wanted = messages.WANTED.pack(reading.next_page, reading.most - len(reading.outcomes))
        head = messages.FRAME.pack(reading.kind, len(wanted) + len(reading.data))
        messages.send(connection, head, wanted, reading.data, tick=tick)
        while not reading.complete:
            letter, content = messages.receive(connection, tick)
            try:
                reading.add(letter, content)
            except (ValueError, struct.error) as error:
                raise GarbledError(str(error)) from error
        self._used = True

    def _watch(self) -> messages.Tick:
        """Return what raises StallError once the process has slept for `stall` seconds, one call a second.

        Calls are counted, not seconds: while this process is stopped, time passes for nobody.
        """
        process, stall, idle, last = self._process, self._stall, 0, -1.0

        def tick() -> None:
            nonlocal idle, last
            import psutil

            # Where it has ended, the connection says so.
            with contextlib.suppress(psutil.NoSuchProcess):
                assert process is not None
                child = psutil.Process(process.pid)
                times, state = child.cpu_times(), child.status()
                spent = times.user + times.system
                # What does not sleep is stopped, or waits for a disk or a processor.
                idle = idle + 1 if state == psutil.STATUS_SLEEPING and spent == last else 0
                last = spent
            if idle >= stall:
                raise StallError

        return tick

    def _start(self) -> socket.socket:
        try:
            self._socket = self._launch()
        except OSError as error:
            raise StartError(str(error)) from error
        atexit.unregister(self.close)
        atexit.register(self.close)
        try:
            messages.receive(self._socket, self._watch())
        except (EOFError, OSError, StallError) as error:
            ended = self._end()
            raise StartError("it hangs" if ended is None else end_text(ended)) from error
        return self._socket

    def _launch(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                # A session of its own: Ctrl-C is for the caller, whose end ends the process too.
                self._process = subprocess.Popen(
                    self._command,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=_environment(),
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            raise
        ours.settimeout(_TICK_SECONDS)
        return ours

    def _end(self) -> int | None:
        """Return how the process ended: exit code, signal's number below 0, None if it had to be killed."""
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
            process.wait()
            return None


class _Reading:
    """What is known of a file's pages while they are read.

    Attributes:
        count: number of pages, as far as is known.
        outcomes: of the pages from `start` on, at most `most`.
    """

    def __init__(self, kind: bytes, data: bytes, *, start: int = 0, most: int) -> None:
        self.kind = kind
        self.data = data
        self.most = most
        self.count = start + 1
        self.outcomes: list[Outcome] = []
        self._start = start
        self._ends = Ends()
        self._failed = 0

    @property
    def next_page(self) -> int:
        """Number of the next page to read."""
        return self._start + len(self.outcomes)

    @property
    def complete(self) -> bool:
        """Whether all wanted pages have an outcome."""
        return len(self.outcomes) >= min(self.most, self.count - self._start)

    def add(self, letter: bytes, content: bytearray) -> None:
        """Add a reply; raise ValueError or struct.error for a malformed one."""
        if letter == messages.PAGES:
            (self.count,) = messages.COUNT.unpack(content)
            return
        if letter == messages.NO_MEMORY:
            raise MemoryLimitError
        if letter == messages.LACK:
            raise LackError(content.decode(errors="replace"))
        if letter == messages.NO_FILE:
            self._fill(messages.decode_error(content))
            return
        self.outcomes.append(self._outcome(letter, content))
        self._ends = Ends()

    def blame(self, error: Exception, ended: int | None, *, fresh: bool) -> None:
        """Record a failure for the next page if it ended the process; otherwise wait a moment."""
        failure = self._ends.failure(error, ended, fresh=fresh)
        if failure is None:
            time.sleep(self._ends.pause)
            return
        self.outcomes.append(failure)
        self._ends = Ends()
        self._failed += 1
        if self._failed == _FAILED_PAGES:
            detail = f"not decoded: {_FAILED_PAGES} pages before it ended the decoder"
            self._fill(ImageError(FailureCode.CORRUPT, detail))

    def _outcome(self, letter: bytes, content: bytearray) -> Outcome:
        if letter == messages.ERROR:
            return messages.decode_error(content)
        array = messages.decode_array(content)
        if letter != self.kind:
            raise ValueError(f"a reply {letter!r} to {self.kind!r}")
        if letter == messages.DIGIT and (array.shape != (SIDE, SIDE) or array.dtype != np.uint8):
            raise ValueError("no digit")
        return array

    def _fill(self, failure: ImageError) -> None:
        """Give all pages that are left the same failure."""
        while not self.complete:
            self.outcomes.append(failure)


def _picture(outcomes: Sequence[Outcome]) -> np.ndarray:
    """Return the one outcome, or raise it."""
    if not outcomes:
        raise ImageError(FailureCode.CORRUPT, "the file has no such page")
    (outcome,) = outcomes
    if isinstance(outcome, ImageError):
        raise outcome
    return outcome


def _environment() -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": module_path(),
        OPENCV_MAX_PIXELS: str(MAX_PIXELS),
        # Threads of NumPy's would count as processes, and take address space.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        # Large pictures go back to the system when they are freed, whatever was freed before.
        "MALLOC_MMAP_THRESHOLD_": "1048576",
        "MALLOC_ARENA_MAX": "1",
        # Small blocks, too, hold what `decoders.stale_memory` fills them with.
        "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0",
    }


def module_path() -> str:
    """Return a PYTHONPATH of absolute folders, with which another process finds the same modules."""
    root = str(pathlib.Path(__file__).resolve().parents[2])
    return os.pathsep.join([root, *filter(os.path.isabs, sys.path)])


GUARD: Final = Guard()
"""The guard that this process uses; it starts nothing before the first request."""

os.register_at_fork(after_in_child=GUARD.forget)
