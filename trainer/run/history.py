"""The metrics of each epoch, as records and as `history.csv`."""

import csv
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, Final

FILE: Final = "history.csv"


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One pass over the training images.

    Attributes:
        epoch: its number, from 1.
        loss: mean training loss while the epoch ran, nats.
        accuracy: share of training images predicted right while it ran, in [0, 1].
        val_loss: mean cross-entropy on the validation split after the epoch, nats; None without one.
        val_accuracy: share of the validation split predicted right; None without one.
        seconds: duration of its training steps.
        images_per_second: training images per second of them.
    """

    epoch: int
    loss: float
    accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    seconds: float
    images_per_second: float


def write(history: Sequence[Epoch], folder: pathlib.Path) -> None:
    """Write `history.csv`; missing values are empty cells."""
    with (folder / FILE).open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(field.name for field in dataclasses.fields(Epoch))
        writer.writerows(dataclasses.astuple(epoch) for epoch in history)


def best_epoch(history: Sequence[Epoch]) -> int:
    """Return the number of the epoch with the best validation accuracy; 0 without validation.

    Among equals, the one with the least validation loss.
    """
    known = [epoch for epoch in history if epoch.val_accuracy is not None and epoch.val_loss is not None]
    best = max(known, key=lambda epoch: (epoch.val_accuracy, -(epoch.val_loss or 0.0)), default=None)
    return best.epoch if best is not None else 0


def read(file: pathlib.Path) -> list[Epoch]:
    """Read a `history.csv`."""
    with file.open(newline="", encoding="utf-8") as opened:
        return [_epoch(row) for row in csv.DictReader(opened)]


def _epoch(row: dict[str, str]) -> Epoch:
    values: dict[str, Any] = {name: float(value) if value else None for name, value in row.items()}
    return Epoch(**values | {"epoch": int(row["epoch"])})
