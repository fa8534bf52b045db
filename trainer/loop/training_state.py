"""The progress of a training: what a checkpoint holds besides the variables."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import tensorflow as tf

from trainer.run.checkpoints import Checkpoint
from trainer.run.history import Epoch


@dataclasses.dataclass
class TrainingState:
    """How far a training is.

    Attributes:
        step: steps done, including those of earlier processes.
        sums: float64[N], the running sums of the current epoch; see `trainer.loop.steps`.
        epoch_seconds: time spent on the current epoch's steps.
        seconds: time spent on training and validation so far.
        history: the finished epochs.
        best_weights: weights of the best epoch so far; None without `--patience`.
    """

    step: int = 0
    sums: tf.Tensor = dataclasses.field(default_factory=lambda: tf.zeros(0, tf.float64))
    epoch_seconds: float = 0.0
    seconds: float = 0.0
    history: list[Epoch] = dataclasses.field(default_factory=list)
    best_weights: list[np.ndarray] | None = None

    def add_epoch(self, epoch: Epoch) -> None:
        """Append a finished epoch and reset the running sums."""
        self.history.append(epoch)
        self.sums, self.epoch_seconds = tf.zeros_like(self.sums), 0.0

    def to_checkpoint(self, variables: Mapping[str, np.ndarray], identity: Mapping[str, Any]) -> Checkpoint:
        """Return the checkpoint of this state.

        Args:
            variables: values of the model's and the optimizer's variables, by name.
            identity: what a resumed training must have in common; JSON types.
        """
        best = self.best_weights or []
        record = {
            "identity": dict(identity),
            "history": [dataclasses.asdict(epoch) for epoch in self.history],
            "sums": self.sums.numpy().tolist(),
            "epoch_seconds": self.epoch_seconds,
            "seconds": self.seconds,
            "best": len(best),
        }
        arrays = {f"best/{number}": value for number, value in enumerate(best)}
        return Checkpoint(self.step, record, {**variables, **arrays})

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        """Return the state that a checkpoint holds."""
        record = checkpoint.record
        best = [checkpoint.arrays[f"best/{number}"] for number in range(record["best"])]
        return cls(
            checkpoint.step,
            tf.constant(record["sums"], tf.float64),
            record["epoch_seconds"],
            record["seconds"],
            [Epoch(**epoch) for epoch in record["history"]],
            best or None,
        )
