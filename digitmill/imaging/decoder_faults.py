"""Decides what the end of a decoder process means for its page and for the run.

A page that crashes the decoder, or takes too much processor time or memory, fails if it does so twice, the
second time in a fresh process. A process that is killed from outside or does not start is not a page's fault:
after some tries the run ends and can be resumed.
"""

import signal
from typing import Final

from digitmill.imaging.limits import DECODE_SECONDS, DECODER_MEMORY
from schemas.errors import WorkerError
from schemas.failure import FailureCode, ImageError

_FAULTS: Final = 2
"""Times that a page ends a process until it fails."""

_STALLS: Final = 3

_TRIES: Final = 10
"""Processes that are killed from outside, one after the other, until the run ends."""

_START_TRIES: Final = 5
"""Processes that do not start, one after the other, until the run ends."""

_PAUSES: Final = (0.1, 2.0)
"""Seconds to wait after the machine's first failure and at most; they double in between."""

_FROM_OUTSIDE: Final = frozenset(
    {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGALRM}
)
"""Signals that no image makes a decoder send itself. Its memory is limited, so where the kernel kills it for
want of memory, the machine has less than that."""

_HINT: Final = "allow more processes and open files (ulimit -u, -n), or free memory"


class StartError(Exception):
    """A process cannot start; the message says why."""


class LackError(Exception):
    """A process lacks a resource; the message says which."""


class StallError(Exception):
    """The process does nothing, although it could work."""


class MemoryLimitError(Exception):
    """The process needs more memory than it may have."""


class GarbledError(Exception):
    """The process sent something that is not a reply."""


ENDS: Final = (EOFError, OSError, StartError, LackError, StallError, MemoryLimitError, GarbledError)
"""Errors that the caller of a decoder process gets when it ends."""


class Ends:
    """Tracks successive ends of decoder processes on one page."""

    def __init__(self) -> None:
        self._faults = self._stalls = self._kills = self._starts = 0

    def failure(self, error: Exception, ended: int | None, *, fresh: bool) -> ImageError | None:
        """Return the page's failure, or None to try again.

        Args:
            error: one of `ENDS`.
            ended: the process's exit code, or a negative signal number; None if its caller had to kill it.
            fresh: whether this page was the first in its process.

        Raises:
            WorkerError: when the machine is at fault and more tries would not help.
        """
        match error:
            case StartError():
                self._starts += 1
                if self._starts == _START_TRIES:
                    raise WorkerError("cannot start the decoder process", value=str(error), hint=_HINT)
                return None
            case LackError():
                self._starts += 1
                if self._starts == _START_TRIES:
                    raise WorkerError("the decoder process cannot work", value=str(error), hint=_HINT)
                return None
            case StallError():
                self._stalls += 1
                return _corrupt("did nothing for a minute") if self._stalls == _STALLS else None
            case MemoryLimitError():
                detail = f"the decoder needs more than {DECODER_MEMORY:,} bytes"
                return self._fault(ImageError(FailureCode.TOO_LARGE, detail))
            case GarbledError():
                return self._fault(_corrupt("returned nonsense"))
        return self._end(ended, fresh=fresh)

    @property
    def pause(self) -> float:
        """Seconds to wait before the next try."""
        failures = self._kills + self._starts
        return min(_PAUSES[0] * 2 ** (failures - 1), _PAUSES[1]) if failures else 0.0

    def _end(self, ended: int | None, *, fresh: bool) -> ImageError | None:
        if ended == 0 and not fresh:
            return None  # it ends by itself when it has grown
        if ended is not None and -ended in _FROM_OUTSIDE:
            self._kills += 1
            if self._kills == _TRIES:
                raise WorkerError(
                    f"the decoder process was killed {_TRIES} times in a row",
                    value=signal.Signals(-ended).name,
                    hint="free memory, or use fewer --workers",
                )
            return None
        if ended == -signal.SIGPROF:
            return self._fault(_corrupt(f"took longer than {DECODE_SECONDS:g} s"))
        if ended is None:
            return self._fault(_corrupt("hung"))
        return self._fault(_corrupt(f"crashed: {end_text(ended)}"))

    def _fault(self, failure: ImageError) -> ImageError | None:
        self._faults += 1
        return failure if self._faults == _FAULTS else None


def end_text(ended: int) -> str:
    """Return how a process ended, in words."""
    return signal.Signals(-ended).name if ended < 0 else f"exit code {ended}"


def _corrupt(what: str) -> ImageError:
    return ImageError(FailureCode.CORRUPT, f"the decoder {what}")
