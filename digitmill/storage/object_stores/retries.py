"""Which requests to an object store are retried, how often, and after which wait."""

import re
from typing import Final

import tenacity

ATTEMPTS: Final = 6
"""Tries at one request, the first included."""

FIRST_WAIT_SECONDS: Final = 0.1
"""Waits are drawn at random between nothing and a bound that starts here and doubles."""

LONGEST_WAIT_SECONDS: Final = 10.0
"""Where the bound stops growing."""

_STATUS: Final = re.compile(r"(?:status code: |status: |HTTP status \w+ error \(|\(code: )(\d{3})")

_RETRIED_STATUS: Final = ("408", "409", "429")
"""409: S3 answers so to one of two simultaneous writers."""


class TransientError(Exception):
    """Worth a retry: the store is busy or the connection broke."""


def make_retries(attempts: int = ATTEMPTS) -> tenacity.Retrying:
    """Return a caller that retries a function on `TransientError`, and finally raises RetryError."""
    return tenacity.Retrying(
        stop=tenacity.stop_after_attempt(attempts),
        wait=tenacity.wait_random_exponential(FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS),
        retry=tenacity.retry_if_exception_type(TransientError),
    )


def is_transient(error: Exception) -> bool:
    """Whether a failed request may succeed later; false for most HTTP 4xx answers."""
    found = _STATUS.search(str(error))
    status = found[1] if found else ""
    return not status.startswith("4") or status in _RETRIED_STATUS
