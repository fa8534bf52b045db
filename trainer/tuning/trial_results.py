"""What a search has found: a table of its trials, and the settings of the best as a file for `--config`."""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

from trainer.printed_command import flags_of
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
        number: from 1, of those that have ended.
        state: `complete`, `pruned` or `failed`, that is diverged.
        settings: what was chosen for it, by the field of TrainOptions.
        val_accuracy: of the network that it ended with; None where it diverged before an epoch's end.
        val_loss: likewise, nats.
        epochs: that it trained.
        seconds: that they took.
    """

    number: int
    state: str
    settings: Mapping[str, Any]
    val_accuracy: float | None
    val_loss: float | None
    epochs: int
    seconds: float


def best(trials: Sequence[Trial]) -> Trial | None:
    """Returns the complete trial that is right most often on validation images, of equals the surest."""
    known = [trial for trial in trials if trial.state == COMPLETE and trial.val_accuracy is not None]
    return max(known, key=lambda trial: (trial.val_accuracy, -(trial.val_loss or 0.0)), default=None)


def table(trials: Sequence[Trial], names: Sequence[str]) -> str:
    """Returns the trials as CSV, a row each; what there is not is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measures = [field.name for field in dataclasses.fields(Trial) if field.name != "settings"]
    writer.writerow([*measures, *names])
    for trial in trials:
        own = [getattr(trial, name) for name in measures]
        writer.writerow([*own, *(trial.settings.get(name) for name in names)])
    return text.getvalue()


def config(train: TrainOptions, settings: Mapping[str, Any]) -> str:
    """Returns the file by which `digitmill train --config` trains with the settings."""
    chosen = {name.replace("_", "-"): value for name, value in settings.items()}
    flags = {name: _plain(value) for name, value in {**flags_of(train), **chosen}.items()}
    header = "# The best of a search: digitmill train --config FILE --output DIR\n"
    return header + yaml.safe_dump({"train": flags}, sort_keys=False)


def write(folder: pathlib.Path, name: str, content: str | bytes) -> None:
    """Writes a file that appears whole or not at all."""
    new = folder / f".{name}.new"
    new.write_bytes(content.encode() if isinstance(content, str) else content)
    new.replace(folder / name)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
