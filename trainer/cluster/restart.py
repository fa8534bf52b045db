"""When one worker of several dies, the others cannot go on: they start anew and wait for it."""

import os
import sys
from typing import Final, NoReturn

from digitmill.commands import native_log
from schemas.errors import JobFailedError

_COUNT: Final = "DIGITMILL_RESTARTS"
_MOST: Final = 20
"""Restarts of one process; a job that loses a worker more often has another trouble."""


class PeerLostError(JobFailedError):
    """Another worker of the job is gone, and with it every exchange between the workers."""


def start_anew(error: PeerLostError) -> NoReturn:
    """Replaces this process by a new one with the same command, which resumes.

    TensorFlow's collectives stay broken in a process that has lost a peer.

    Raises:
        PeerLostError: the one given, after too many restarts.
    """
    count = int(os.environ.get(_COUNT, "0"))
    if count >= _MOST:
        raise error
    print(f"{error}; starting anew from the newest checkpoint", file=sys.stderr, flush=True)
    os.environ[_COUNT] = str(count + 1)
    resume = [] if "--resume" in sys.orig_argv else ["--resume"]
    native_log.uninstall()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], *resume])
