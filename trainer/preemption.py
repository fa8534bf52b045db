"""SIGTERM: what a cluster sends before it takes a machine away."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

from schemas.errors import ExitCode, JobFailedError


class PreemptedError(JobFailedError):
    """The job was told to end and has saved what it had."""

    code = ExitCode.TERMINATED


class Preemption:
    """Context manager that turns SIGTERM into a flag, for whoever looks at it between steps."""

    def __init__(self) -> None:
        self.told = False

    def __enter__(self) -> Self:
        # Python lets only the main thread set handlers; elsewhere somebody else owns the process.
        self._owner = threading.current_thread() is threading.main_thread()
        if self._owner:
            self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._owner:
            signal.signal(signal.SIGTERM, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.told = True
