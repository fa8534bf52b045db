"""SIGTERM, which a cluster sends before it takes a machine away, and Ctrl-C: both end a job that is saved."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from schemas.errors import ExitCode, JobFailedError


class PreemptedError(JobFailedError):
    """The job was told to end and has saved what it had."""

    code = ExitCode.TERMINATED


class Preemption:
    """Context manager that turns SIGTERM and Ctrl-C into a flag, for whoever looks at it between steps.

    A Ctrl-C that came when nobody looked any more is not lost: it is one to whoever goes on.

    Attributes:
        told: whether the process was told to end.
    """

    def __init__(self) -> None:
        self.told = self._interrupted = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # Python lets only the main thread set handlers; elsewhere somebody else owns the process.
        self._owner = threading.current_thread() is threading.main_thread()
        if self._owner:
            self._before = {
                number: signal.signal(number, self._note)
                for number in (signal.SIGTERM, signal.SIGINT)
                # A shell without job control starts background jobs with SIGINT ignored.
                if signal.getsignal(number) is not signal.SIG_IGN
            }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._interrupted and kind in (None, GeneratorExit):
            signal.raise_signal(signal.SIGINT)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.told and number == signal.SIGINT:
            os._exit(ExitCode.CRASHED)  # told twice: checkpoints appear whole or not at all
        self.told = True
        self._interrupted = self._interrupted or number == signal.SIGINT
