"""Turns SIGTERM, which clusters send before they take a machine away, and Ctrl-C into a saved, clean end."""

import os
import signal
import threading
from types import FrameType
from typing import Any, Self

from schemas.errors import ExitCode, JobFailedError


class PreemptedError(JobFailedError):
    """The job was preempted and has saved its progress."""

    code = ExitCode.TERMINATED


class Preemption:
    """Context manager that records SIGTERM and Ctrl-C in a flag, to be polled between steps.

    A signal that arrives after the last poll raises KeyboardInterrupt on exit. A second Ctrl-C ends the
    process at once; a second SIGTERM does not, because clusters repeat theirs while a checkpoint is saved.

    Attributes:
        preempted: whether a signal has arrived.
    """

    def __init__(self) -> None:
        self.preempted = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # Python lets only the main thread set handlers; in other threads the caller owns the signals.
        if threading.current_thread() is threading.main_thread():
            self._previous = {
                number: signal.signal(number, self._on_signal)
                for number in (signal.SIGTERM, signal.SIGINT)
                # A shell without job control starts background jobs with SIGINT ignored.
                if signal.getsignal(number) is not signal.SIG_IGN
            }
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if self.preempted and kind in (None, GeneratorExit):
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.preempted and number == signal.SIGINT:
            os._exit(ExitCode.CRASHED)  # safe: checkpoints appear whole or not at all
        self.preempted = True
