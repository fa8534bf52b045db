"""Restarts a worker that has lost another one, so that all workers can resume together."""

import os
import sys
from typing import Final, NoReturn

from schemas.errors import JobFailedError

_COUNT: Final = "DIGITMILL_RESTARTS"
_MAX_RESTARTS: Final = 20
"""Restarts of one process; a job that loses workers more often has another problem."""


class PeerLostError(JobFailedError):
    """Another worker of the job has died, which breaks all communication between workers."""


def restart_process(error: PeerLostError) -> NoReturn:
    """Replace this process by a new one with the same command and `--resume`.

    TensorFlow's collectives stay broken in a process that has lost a peer.

    Raises:
        PeerLostError: the given error, after too many restarts.
    """
    count = int(os.environ.get(_COUNT, "0"))
    if count >= _MAX_RESTARTS:
        raise error
    why = str(error).rstrip(".")
    print(
        f"{why}; restarting from the newest checkpoint ({count + 1} of {_MAX_RESTARTS} restarts)",
        file=sys.stderr,
        flush=True,
    )
    os.environ[_COUNT] = str(count + 1)
    resume = [] if "--resume" in sys.orig_argv else ["--resume"]
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], *resume])
