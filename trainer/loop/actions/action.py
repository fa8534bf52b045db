"""The interface of what happens besides the training steps: progress, checkpoints, TensorBoard, watchdog."""

import dataclasses

from trainer.metrics.measures import Evaluation
from trainer.run.history import Epoch


@dataclasses.dataclass(frozen=True)
class StepReport:
    """Metrics of one chunk: the steps that ran in the graph since the last report.

    Attributes:
        step: steps done since the training began.
        epoch: number of the current epoch, from 1.
        first: the chunk's first step within the epoch, from 1.
        last: its last step within the epoch.
        ends_epoch: whether it was the last chunk of the epoch.
        loss: mean loss over the chunk, nats.
        accuracy: share of the chunk's images predicted right, in [0, 1].
        epoch_loss: mean loss over the epoch so far, nats.
        epoch_accuracy: share of the epoch's images so far predicted right, in [0, 1].
        learning_rate: of the next step.
        seconds: duration of the chunk.
    """

    step: int
    epoch: int
    first: int
    last: int
    ends_epoch: bool
    loss: float
    accuracy: float
    epoch_loss: float
    epoch_accuracy: float
    learning_rate: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class EpochReport:
    """A finished epoch.

    Attributes:
        step: steps done since the training began.
        epoch: metrics of the epoch.
        validation: the predictions on the validation split; None without one.
        is_last: whether it is the last epoch of the training.
    """

    step: int
    epoch: Epoch
    validation: Evaluation | None
    is_last: bool


class Action:
    """Something the loop does after each chunk of steps and after each epoch; by default nothing.

    Every worker runs the same actions in the same order.
    """

    def after_steps(self, report: StepReport) -> None:
        """Act after each chunk of steps."""

    def after_epoch(self, report: EpochReport) -> None:
        """Act after each epoch, once it was validated and added to the history."""
