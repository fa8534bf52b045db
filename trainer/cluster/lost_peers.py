"""Distinguishes the loss of another worker, after which a job can resume, from permanent errors."""

import contextlib
import re
from collections.abc import Iterator
from typing import Final

import tensorflow as tf

from schemas.errors import first_line
from trainer.cluster.restart import PeerLostError
from trainer.cluster.strategy import is_multi_worker

_MAY_BE_LOSS: Final = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
)
"""Kinds of errors that collectives raise after a worker has died, depending on the moment, and for other
reasons: the text decides. `UnavailableError` needs none."""

_SIGNS: Final = re.compile(
    r"heartbeat|incarnation|has restarted|preempted|unavailable|coordination (?:service|agent)"
    r"|socket closed|connection (?:reset|refused|timed out|closed)|broken pipe|failed to connect"
    r"|peer.*(?:gone|closed|reset|is down)|error received from peer|remote process exited",
    re.IGNORECASE,
)


@contextlib.contextmanager
def lost_peer_errors(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Context that raises PeerLostError, with the error as its cause, when another worker has died."""
    try:
        yield
    except tf.errors.OpError as error:
        if is_multi_worker(strategy) and is_loss(error):
            raise PeerLostError(f"another worker of this job died: {_reason(error)}") from error
        raise


def _reason(error: tf.errors.OpError) -> str:
    """Return the line that names the cause: an error in a graph begins with where it was built."""
    line = next(filter(_SIGNS.search, str(error).splitlines()), first_line(error))
    return line.rpartition("}} ")[2]  # after the node's name in the graph


def is_loss(error: tf.errors.OpError) -> bool:
    """Whether an error of a collective operation means that another worker has died."""
    if isinstance(error, tf.errors.UnavailableError):
        return True
    return isinstance(error, _MAY_BE_LOSS) and _SIGNS.search(str(error)) is not None
