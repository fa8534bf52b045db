"""Stops a verb on SIGTERM, which schedulers send, and on Ctrl-C, wherever the signal arrives."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

from schemas.errors import ExitCode

_AGAIN_SECONDS: Final = 0.01


@contextlib.contextmanager
def stop_signals() -> Iterator["StopSignals"]:
    """Context manager in which a stop signal raises KeyboardInterrupt, on exit at the latest.

    A second signal ends the process at once. Nested contexts share the signals of the outer one. Does nothing
    outside the main thread, because only the main thread can handle signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield StopSignals()
        return
    outer = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if isinstance(outer, StopSignals):
        outer.check()
        yield outer
        outer.check()
        return
    stop = StopSignals()
    with stop.installed():
        yield stop
    stop.check()


def stop_verb() -> None:
    """Stop the verb running in this process, like a stop signal; callable from any thread."""
    handler = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    main = threading.main_thread().ident
    # Without a verb nobody handles the signal, and it would kill the process.
    if isinstance(handler, StopSignals) and main is not None:
        signal.pthread_kill(main, signal.SIGTERM)


class StopSignals:
    """The stop signals of a process.

    Attributes:
        requested: whether a signal has arrived.
    """

    def __init__(self) -> None:
        self.requested = False
        self._report: Callable[[Any], Any] = sys.__unraisablehook__

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has arrived."""
        if self.requested:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Context manager that installs the handlers."""
        before = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGINT, signal.SIGTERM)
            # A shell without job control starts background jobs with SIGINT ignored.
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._on_alarm)
        self._report, sys.unraisablehook = sys.unraisablehook, self._on_swallowed
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)
            sys.unraisablehook = self._report

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            os._exit(ExitCode.CRASHED)  # second signal: exit at once, since writes are atomic
        self.requested = True
        raise KeyboardInterrupt

    def _on_swallowed(self, unraisable: Any) -> None:
        """Raise the interruption again, soon: Python drops what is raised in `__del__` and in callbacks."""
        if not (self.requested and issubclass(unraisable.exc_type, KeyboardInterrupt)):
            self._report(unraisable)
        elif threading.current_thread() is threading.main_thread():
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt
