"""Retries requests to object stores: which ones, for how long, and with which waits."""

import re
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

import tenacity

from digitmill.storage.read_limits import RETRY_SECONDS
from schemas.errors import StorageError

FEW_TRIES: Final = 6
"""Tries at what may well be the fault of a single object, while others of its bucket can be read."""

FIRST_WAIT_SECONDS: Final = 0.1
"""Waits are drawn at random between nothing and a bound that starts here and doubles."""

LONGEST_WAIT_SECONDS: Final = 10.0
"""Where the bound stops growing."""

LONGEST_ASKED_SECONDS: Final = 60.0
"""The longest wait that a store may ask for by Retry-After."""

NEVER: Final = threading.Event()
"""What ends the waits of requests that nobody stops."""

_STATUS: Final = re.compile(r"(?:status code: |status: |HTTP status \w+ error \(|\(code: )(\d{3})")

_RETRIED_STATUS: Final = ("408", "409", "429")
"""409: S3 answers so to one of two simultaneous writers."""

_SLOW_DOWN: Final = ("429", "503")

T = TypeVar("T")


class TransientError(Exception):
    """Error of a request that should be retried: the store is busy, or the connection broke.

    Attributes:
        wait: seconds that the store asks to wait.
        few: whether the object itself may be at fault, so that `FEW_TRIES` are enough.
        refused: whether the store responded with a refusal.
        at: when the request failed.
    """

    def __init__(self, text: str, *, wait: float = 0.0, few: bool = False, refused: bool = False) -> None:
        super().__init__(text)
        self.wait = wait
        self.few = few
        self.refused = refused
        self.at = time.monotonic()


class ExhaustedError(Exception):
    """All retries failed; the text is the last error's, with the number of tries."""

    def __init__(self, last: TransientError, tries: int) -> None:
        super().__init__(f"{last} ({tries} tries)")
        self.last = last


def retry(
    request: Callable[[], T],
    *,
    first: TransientError | None = None,
    seconds: float = RETRY_SECONDS,
    few: bool = False,
    stop: threading.Event = NEVER,
) -> T:
    """Call a function until it raises no TransientError, within a time limit.

    Args:
        request: the function.
        first: the error of the first try, if it has been made already.
        seconds: limit in seconds from the first failure to the start of the last try.
        few: whether errors marked `few` end the retries after `FEW_TRIES`.
        stop: ends a wait at once when another thread sets it.

    Raises:
        ExhaustedError: when the last try has failed.
        StorageError: when stopped.
    """
    failed = [first] if first else []

    def attempt() -> T:
        if failed:
            raise failed.pop()
        return request()

    try:
        # The undisturbed way does not pay for tenacity.
        if not failed:
            return attempt()
    except TransientError as error:
        failed.append(error)
    retries = tenacity.Retrying(
        stop=tenacity.stop_when_event_set(stop) | _Patience(seconds, few=few),
        wait=_wait,
        sleep=tenacity.sleep_using_event(stop),
        retry=tenacity.retry_if_exception_type(TransientError),
    )
    try:
        return retries(attempt)
    except tenacity.RetryError as error:
        if stop.is_set():
            raise stopped() from None
        last = _error_of(error.last_attempt)
        raise ExhaustedError(last, error.last_attempt.attempt_number) from last


def stopped() -> StorageError:
    """Return the error of a stopped request."""
    return StorageError("stopped while waiting for a store", value="retries", hint="start again")


def _wait(state: tenacity.RetryCallState) -> float:
    drawn = tenacity.wait_random_exponential(FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS)(state)
    return max(drawn, min(_error(state).wait, LONGEST_ASKED_SECONDS))


class _Patience(tenacity.stop.stop_base):
    """Ends retries after a time, or after `FEW_TRIES` of a request that may be at fault itself."""

    def __init__(self, seconds: float, *, few: bool) -> None:
        self._seconds = seconds
        self._few = few

    def __call__(self, state: tenacity.RetryCallState) -> bool:
        enough = self._few and _error(state).few and state.attempt_number >= FEW_TRIES
        return enough or (state.seconds_since_start or 0) + state.upcoming_sleep > self._seconds


def _error(state: tenacity.RetryCallState) -> TransientError:
    assert state.outcome is not None
    return _error_of(state.outcome)


def _error_of(attempt: tenacity.Future) -> TransientError:
    error = attempt.exception()
    assert isinstance(error, TransientError)
    return error


def is_transient(error: Exception) -> bool:
    """Whether a failed request may succeed later; false for most HTTP 4xx answers and for redirects."""
    status = status_of(error)
    return (not status.startswith("4") or status in _RETRIED_STATUS) and not is_redirect(error)


def is_slow_down(error: Exception) -> bool:
    """Whether a store asks for fewer requests."""
    return status_of(error) in _SLOW_DOWN


def is_unconnected(error: BaseException) -> bool:
    """Whether no connection was made; if others work, the request was redirected to a dead address."""
    return "kind: Connect" in str(error)


def is_lapsed_login(error: Exception) -> bool:
    """Whether a temporary login has expired, which S3 reports with status 400."""
    return "ExpiredToken" in str(error)


def is_redirect(error: Exception) -> bool:
    """Whether a read was redirected to an unusable address; obstore follows other redirects."""
    return "redirect" in str(error)


def status_of(error: BaseException) -> str:
    """Return the HTTP status in an error; empty if there is none."""
    found = _STATUS.search(str(error))
    return found[1] if found else ""
