"""The results of a search: a table of its trials, and the best settings as a file for `--config`."""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

from trainer.train_options import TrainOptions

TABLE: Final = "trials.csv"
BEST: Final = "best.yaml"

COMPLETE: Final = "complete"
PRUNED: Final = "pruned"
FAILED: Final = "failed"


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training of the search.

    Attributes:
        number: its number among finished trials, from 1.
        state: `complete`, `pruned` or `failed` (diverged).
        settings: its settings, by field of TrainOptions.
        val_accuracy: of its final network; None if it diverged in the first epoch.
        val_loss: of its final network, nats; None in the same cases.
        epochs: finished epochs.
        seconds: duration.
    """

    number: int
    state: str
    settings: Mapping[str, Any]
    val_accuracy: float | None
    val_loss: float | None
    epochs: int
    seconds: float


def best(trials: Sequence[Trial]) -> Trial | None:
    """Return the complete trial with the best validation accuracy; among equals, with the least loss."""
    known = [trial for trial in trials if trial.state == COMPLETE and trial.val_accuracy is not None]
    return max(known, key=lambda trial: (trial.val_accuracy, -(trial.val_loss or 0.0)), default=None)


def table(trials: Sequence[Trial], names: Sequence[str]) -> str:
    """Return the trials as CSV, one per row; missing values are empty cells."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measures = [field.name for field in dataclasses.fields(Trial) if field.name != "settings"]
    writer.writerow([*measures, *names])
    for trial in trials:
        own = [getattr(trial, name) for name in measures]
        writer.writerow([*own, *(trial.settings.get(name) for name in names)])
    return text.getvalue()


def config(train: TrainOptions, settings: Mapping[str, Any]) -> str:
    """Return a file for `digitmill train --config` with these settings."""
    chosen = {name.replace("_", "-"): value for name, value in settings.items()}
    both = {**train.settings(), **chosen}.items()
    flags = {name: list(value) if isinstance(value, tuple) else value for name, value in both}
    header = "# The best of a search: digitmill train --config FILE --output DIR\n"
    return header + yaml.safe_dump({"train": flags}, sort_keys=False)
