"""Detects a run in other processes that makes no progress: reports it at growing intervals, and stops it."""

import sys
import time
from collections.abc import Callable, Hashable
from typing import Final

from tqdm import tqdm

from digitmill.commands.stop_signals import stop_verb
from schemas.errors import WorkerError, sentences

STALL_SECONDS: Final = 600.0
"""Seconds without progress until a stall is reported; reported again whenever the time doubles."""


class Watchdog:
    """Checks the progress of a run from time to time; reports a stall and may stop the run.

    Args:
        runner: returns a sentence on whether the runner and its workers respond.
        stop_after: seconds without progress after which the run is stopped; None for never.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        runner: Callable[[], str],
        *,
        stop_after: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runner = runner
        self._stop_after = stop_after
        self._clock = clock
        self._state: Hashable = None
        self._changed, self._next = clock(), STALL_SECONDS
        self._stopped_after: float | None = None

    def look(self, state: Hashable, done: str) -> None:
        """Compare the state with the previous one.

        Args:
            state: differs from the previous state if there was any progress.
            done: how much is done, in words.
        """
        now = self._clock()
        if state != self._state:
            self._state, self._changed, self._next = state, now, STALL_SECONDS
            return
        still = now - self._changed
        if self._stop_after is not None and still >= self._stop_after:
            if self._stopped_after is None:
                self._stopped_after = still
                stop_verb()
        elif still >= self._next:
            self._next = 2 * still
            self._report(still, done)

    def check(self) -> None:
        """Raise WorkerError if the watchdog stopped the run."""
        if self._stopped_after is not None:
            raise WorkerError(
                f"the runner has made no progress for {_duration(self._stopped_after)}",
                value=self._runner(),
                hint="see the logs of the runner and its workers",
            )

    def _report(self, still: float, done: str) -> None:
        known = sentences(f"no progress for {_duration(still)}", done, self._runner())
        advice = "Look into the logs of the runner and its workers. Ctrl-C keeps what is done for --resume."
        tqdm.write(f"{known} {advice}", file=sys.stderr)  # does not break a progress bar


def watchdog_for(runner: Callable[[], str] | None, minutes: float | None) -> Watchdog | None:
    """Return the watchdog of a runner that stops the run after `minutes`, if given; None without a runner."""
    if runner is None:
        return None
    return Watchdog(runner, stop_after=None if minutes is None else 60 * minutes)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:,.0f} min" if seconds >= 60 else f"{seconds:.1f} s"
