"""Reports as the loop passes them to its actions."""

import dataclasses

from trainer.loop.actions.action import EpochReport, StepReport
from trainer.run.history import Epoch

EPOCH = Epoch(2, 0.5, 0.8, 0.25, 0.9, 1.5, 1_234.0)


def step_report(**changes) -> StepReport:
    """The first of ten steps of the first epoch, with changes."""
    report = StepReport(
        step=1,
        epoch=1,
        first=1,
        last=1,
        ends_epoch=False,
        loss=0.5,
        accuracy=0.8,
        epoch_loss=0.5,
        epoch_accuracy=0.8,
        learning_rate=0.1,
        seconds=1.0,
    )
    return dataclasses.replace(report, **changes)


def epoch_report(epoch: Epoch = EPOCH, *, step: int = 20, validation=None, is_last=False) -> EpochReport:
    """An epoch's end."""
    return EpochReport(step, epoch, validation, is_last)
