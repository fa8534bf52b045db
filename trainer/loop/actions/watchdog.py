"""Stops a training that diverges: Keras's `fit` would return normally with NaN weights."""

import math
from collections.abc import Sequence
from typing import Final

import keras
import numpy as np

from schemas.digit import CLASSES
from schemas.errors import ExitCode, JobFailedError
from trainer.loop.actions.action import Action, StepReport
from trainer.run.checkpoints import Checkpoints

_MAX_LOSS: Final = 3 * math.log(CLASSES)
"""Mean loss, nats, above which a training has diverged: guessing costs ln 10, and Keras's cross-entropy,
which clips probabilities at 1e-7, can't exceed 16."""


class DivergedError(JobFailedError):
    """The loss is NaN or infinite, or far worse than guessing."""

    code = ExitCode.USAGE  # the same seed, data and options diverge again


class Watchdog(Action):
    """Checks loss and weights.

    Args:
        checkpoints: of the run, for the error message; None if it has none.
    """

    def __init__(self, checkpoints: Checkpoints | None = None) -> None:
        self._checkpoints = checkpoints

    def after_steps(self, report: StepReport) -> None:
        """Check the loss of a chunk; raise DivergedError if it is NaN, infinite or exploding."""
        self._check(report.loss, epoch=report.epoch, first=report.first, last=report.last)

    def check_weights(self, weights: Sequence[keras.Variable], *, epoch: int, step: int) -> None:
        """Raise DivergedError if a weight is NaN or infinite: no loss shows the last step's update."""
        if not all(np.isfinite(weight.numpy()).all() for weight in weights):
            self._check(math.nan, epoch=epoch, first=step, last=step)

    def _check(self, loss: float, *, epoch: int, first: int, last: int) -> None:
        if math.isfinite(loss) and loss <= _MAX_LOSS:
            return
        became = f"exploded to {loss:.1f}" if math.isfinite(loss) else f"became {loss}"
        newest = self._checkpoints.newest if self._checkpoints else None
        kept = f"the last good checkpoint is {newest}" if newest else "there is no checkpoint yet"
        raise DivergedError(
            f"the loss {became} in epoch {epoch}, steps {first} to {last}: the learning rate is too high or "
            f"the images are damaged; {kept}"
        )
