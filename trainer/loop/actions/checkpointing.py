"""Decides when the loop saves a checkpoint: every `--checkpoint-steps`, or after each epoch."""

import math
from collections.abc import Callable

from trainer.loop.actions.action import Action, EpochReport, StepReport


class Checkpointing(Action):
    """Saves checkpoints when they are due.

    Args:
        save: writes a checkpoint of the training as it is now.
        every_steps: steps between two checkpoints; None for one per epoch.
    """

    def __init__(self, save: Callable[[], None], every_steps: int | None) -> None:
        self._save = save
        self._every_steps = every_steps

    def next_step(self, step: int) -> float:
        """Return the next step at which a chunk must end for a checkpoint; infinity if none must."""
        return math.inf if self._every_steps is None else (step // self._every_steps + 1) * self._every_steps

    def after_steps(self, report: StepReport) -> None:
        """Save within an epoch. At its end, the checkpoint waits for the validation."""
        if not report.ends_epoch and self._is_due(report.step):
            self._save()

    def after_epoch(self, report: EpochReport) -> None:
        """Save after every epoch or, with `every_steps`, after the last and where it is due."""
        if self._every_steps is None or report.is_last or self._is_due(report.step):
            self._save()

    def _is_due(self, step: int) -> bool:
        return self._every_steps is not None and step % self._every_steps == 0
