"""Stops a training that has gone wrong: Keras's own `fit` returns as if all were well."""

import math
from typing import Final

from schemas.digit import CLASSES
from schemas.errors import JobFailedError

_WORST: Final = 3 * math.log(CLASSES)
"""Mean loss, nats, beyond which a training explodes: guessing costs ln 10, and Keras's cross-entropy,
which takes no probability for less than 1e-7, can say no more than 16."""


class DivergedError(JobFailedError):
    """The loss is no number any more, or far worse than guessing."""


def check_loss(loss: float, *, epoch: int, first: int, last: int, checkpoint: str | None) -> None:
    """Lets a good loss pass.

    Args:
        loss: mean over the steps, nats.
        epoch: number of the epoch, from 1.
        first: first of the epoch's steps that it is over, from 1.
        last: last of them.
        checkpoint: the newest one, from before; None when there is none.

    Raises:
        DivergedError: when it is not finite, or exploding.
    """
    if math.isfinite(loss) and loss <= _WORST:
        return
    became = f"exploded to {loss:.1f}" if math.isfinite(loss) else f"became {loss}"
    kept = f"the last good checkpoint is {checkpoint}" if checkpoint else "there is no checkpoint yet"
    raise DivergedError(
        f"the loss {became} in epoch {epoch}, steps {first} to {last}: the learning rate is too high or "
        f"the images are damaged; {kept}"
    )
