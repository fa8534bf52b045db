"""Ends a worker that gets a stop signal while TensorFlow waits for other workers.

Python handles signals between two instructions of the main thread. But that thread may wait in a collective
operation as long as a peer reads its data or hangs. So another thread watches where the main thread is.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import ClassVar, Final

from schemas.errors import ExitCode

PATIENCE: Final = 3.0
"""Seconds for which the main thread may stay in one operation of TensorFlow after a stop signal."""

FIRST_STEPS_PATIENCE: Final = 30.0
"""The same while the first steps of a training run, whose graph is compiled on the way."""

_POLL_SECONDS: Final = 0.1
_ARRIVAL_SECONDS: Final = 1.0
"""Time that the watch has to learn of a signal that the main thread has handled already."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_TENSORFLOW: Final = f"{os.sep}tensorflow{os.sep}python{os.sep}"


class StopWatch:
    """Watches the main thread once a stop signal has arrived.

    Args:
        farewell: message to print before ending the process.
        ends: whether to end the process; without other workers, no operation waits.

    Attributes:
        received: the first stop signal; None before it arrives.
        patience: seconds that one TensorFlow operation may currently take, for the whole process.
    """

    patience: ClassVar[float] = PATIENCE

    def __init__(self, farewell: str, *, ends: bool) -> None:
        self.received: int | None = None
        self._arrival = threading.Event()
        self._farewell = farewell
        self._ends = ends

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Context manager that runs the watch; does nothing outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        receiver, sender = socket.socketpair()
        with receiver, sender:
            sender.setblocking(False)
            before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
            watcher = threading.Thread(target=self._watch, args=(receiver,), name="stop watch", daemon=True)
            watcher.start()
            try:
                yield
            finally:
                signal.set_wakeup_fd(before)
                sender.close()  # ends the thread
                watcher.join()

    @property
    def code(self) -> ExitCode:
        """The exit code of a process that a stop signal has ended outside of the training loop."""
        self._arrival.wait(_ARRIVAL_SECONDS)
        return ExitCode.TERMINATED if self.received == signal.SIGTERM else ExitCode.INTERRUPTED

    def _watch(self, receiver: socket.socket) -> None:
        while numbers := receiver.recv(64):
            if found := [number for number in numbers if number in _SIGNALS]:
                self.received = found[0]
                self._arrival.set()
                break
        else:
            return
        receiver.settimeout(_POLL_SECONDS)
        place, since = None, time.monotonic()
        while not _is_closed(receiver):
            if (now := _place_of_main_thread()) != place:
                place, since = now, time.monotonic()
            if self._ends and place is not None and time.monotonic() - since > StopWatch.patience:
                self._end()

    def _end(self) -> None:
        print(f"digitmill: {self._farewell}", file=sys.stderr, flush=True)
        os._exit(self.code)  # checkpoints appear whole or not at all


@contextlib.contextmanager
def in_steps() -> Iterator[Callable[[float], None]]:
    """Context manager around a training loop, which may take longer until it can save and stop.

    Yields:
        A function that takes the duration of the last chunk of steps; later chunks may take twice as long.
    """

    def record(seconds: float) -> None:
        StopWatch.patience = max(PATIENCE, 2 * seconds)

    StopWatch.patience = FIRST_STEPS_PATIENCE
    try:
        yield record
    finally:
        StopWatch.patience = PATIENCE


def reclaim_signals() -> None:
    """Take the stop signals back from TensorFlow, which handles SIGTERM itself once it connects workers."""
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if handler is not None:
                signal.signal(number, handler)


def _is_closed(receiver: socket.socket) -> bool:
    """Wait a moment; return whether the context has ended."""
    try:
        return not receiver.recv(64)
    except TimeoutError:
        return False


def _place_of_main_thread() -> tuple[FrameType, int] | None:
    """Return frame and instruction at which the main thread is in TensorFlow; None elsewhere.

    The frame itself: the identity of one that has ended may be a later one's.
    """
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    if frame is None or _TENSORFLOW not in frame.f_code.co_filename:
        return None
    return frame, frame.f_lasti
