"""Limits the rate of requests as object stores ask for: a bounded rate that ramps up slowly."""

import threading
import time
from collections.abc import Callable
from typing import Final

START_RATE: Final = 5000.0
"""Requests/s that Google Cloud Storage serves at once from a bucket that has been idle."""

DOUBLING_SECONDS: Final = 1200.0
"""It asks to double the rate at most every 20 minutes.

Source: https://cloud.google.com/storage/docs/request-rate
"""


class Throttle:
    """Makes callers wait for their turn at a rate that `processes` share; safe to share between threads."""

    def __init__(
        self,
        limit: float | None = None,
        *,
        processes: int = 1,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limit = limit
        self._processes = processes
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._started = self._next = clock()

    def rate(self, seconds: float) -> float:
        """Return the requests/s allowed so many seconds after the start."""
        ramp = START_RATE * 2 ** (seconds / DOUBLING_SECONDS)
        return (ramp if self._limit is None else min(ramp, self._limit)) / self._processes

    def wait(self) -> None:
        """Return when the caller may send one request."""
        with self._lock:
            now = self._clock()
            # Unused turns expire: saved up, they would become a burst.
            turn = max(now, self._next)
            self._next = turn + 1 / self.rate(now - self._started)
        if turn > now:
            self._sleep(turn - now)
