"""Limits the rate of requests as object stores recommend: slow ramp-up, and cuts when a store is busy."""

import threading
import time
from collections.abc import Callable
from typing import Final

from digitmill.storage.object_stores.retries import NEVER, stopped

START_RATE: Final = 5000.0
"""Requests/s that Google Cloud Storage serves at once from a bucket that has been idle."""

DOUBLING_SECONDS: Final = 1200.0
"""It asks to double the rate at most every 20 minutes.

Source: https://cloud.google.com/storage/docs/request-rate
"""

CUT: Final = 0.7
"""The rate is multiplied by this when a store is busy."""

PAUSE_SECONDS: Final = 0.2
"""No request begins for so long after a cut: those under way end first."""

RECOVERY: Final = 0.05
"""Share of the rate after a cut that is added to it each second."""

RECOVERY_SECONDS: Final = 20.0
"""Beyond so long after a cut the rate grows with the cube of the time: a storm may have left next to nothing.

Source: CUBIC, https://www.rfc-editor.org/rfc/rfc9438
"""

BURST_SECONDS: Final = 0.1
"""Requests of so long may begin at once, and then none for as long, before the first cut: requests side by
side cost half the processor time of single ones with waits between them."""

_WINDOW_SECONDS: Final = 1.0
"""The rate of requests is measured over so long: a cut of a rate that is not used up would have no effect."""

_LEAST_RATE: Final = 1.0


class Throttle:
    """Makes callers wait for their turn, at a rate that `processes` share. Thread-safe.

    The rate grows by addition and falls by multiplication (AIMD), like TCP's, so independent processes
    together stay below the store's limit.

    Attributes:
        cuts: how often the rate was cut.
    """

    def __init__(
        self,
        limit: float | None = None,
        *,
        processes: int = 1,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        self.cuts = 0
        self._limit = limit
        self._processes = processes
        self._clock = clock
        self._wait = wait
        self._lock = threading.Lock()
        self._started = self._next = self._gate = self._window = clock()
        self._turns = 0
        self._measured = float("inf")
        self._cut_to: float | None = None
        self._cut_at = self._started
        self._succeeded = True

    def ramp(self, seconds: float) -> float:
        """Return the requests/s of an undisturbed process this many seconds after the start."""
        ramp = START_RATE * 2 ** (seconds / DOUBLING_SECONDS)
        return (ramp if self._limit is None else min(ramp, self._limit)) / self._processes

    def take(self, turns: int = 1, *, stop: threading.Event = NEVER) -> int:
        """Wait until the caller may send requests, and return how many: one after a cut.

        Raises:
            StorageError: when `stop` is set during the wait.
        """
        granted = 0
        while not granted:
            with self._lock:
                granted, wait = self._grant(turns, self._clock())
            if wait > 0 and self._wait(stop, wait):
                raise stopped()
        return granted

    def _grant(self, turns: int, now: float) -> tuple[int, float]:
        """Return how many requests may begin after so many seconds, or 0 to be asked again then."""
        rate, turn = self._rate(now), now
        self._measure(now)
        # Unused turns expire: saved up, they would become a burst.
        if self._cut_to is not None:
            turns, turn = 1, max(now, self._gate)
            self._gate = turn + 1 / rate
        elif now < self._gate:
            return 0, self._gate - now
        else:
            self._next = max(now, self._next) + turns / rate
            if self._next - now >= BURST_SECONDS:
                self._gate = self._next
        self._turns += turns
        return turns, turn - now

    def succeed(self) -> None:
        """Note an answered request; only needed after a cut."""
        self._succeeded = True

    def slow_down(self, sent: float) -> None:
        """Cut the rate because the store was busy for a request sent at this time.

        Cuts only once for all requests under way, and only if some requests succeed: if none does, the store
        is down, and each request waits on its own.
        """
        with self._lock:
            now = self._clock()
            self._gate = max(self._gate, now + PAUSE_SECONDS)
            if sent < self._cut_at or not self._succeeded:
                return
            elapsed = now - self._window
            used = self._turns / elapsed if elapsed > _WINDOW_SECONDS / 5 else self._measured
            self._cut_to = max(_LEAST_RATE, CUT * min(self._rate(now), used))
            # After the pause: what begins before it was not sent at the new rate.
            self._cut_at = now + PAUSE_SECONDS
            self._succeeded = False
            self.cuts += 1

    def _rate(self, now: float) -> float:
        ramp = self.ramp(now - self._started)
        if self._cut_to is None:
            return ramp
        seconds = max(0.0, now - self._cut_at)
        recovered = self._cut_to * (1 + RECOVERY * seconds + (seconds / RECOVERY_SECONDS) ** 3)
        if recovered >= ramp:
            self._cut_to = None
        return min(ramp, recovered)

    def _measure(self, now: float) -> None:
        if now - self._window >= _WINDOW_SECONDS:
            self._measured = self._turns / (now - self._window)
            self._window, self._turns = now, 0
