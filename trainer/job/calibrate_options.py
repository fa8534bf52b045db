"""The flags of `digitmill calibrate`."""

import dataclasses
import pathlib
from typing import ClassVar, Final

import click

from digitmill.commands import OptionGroup, Options, bundle_flags, flag
from digitmill.commands.parameter_types import FILE, FOLDER, FiniteRange
from schemas.errors import UserError
from schemas.model.trust import DELTA
from trainer import training_flags
from trainer.job.evaluate_options import ALL

_MODEL: Final = OptionGroup("Model")
_DATA: Final = OptionGroup("Data")
_PROMISE: Final = OptionGroup("Promise")


@dataclasses.dataclass(frozen=True)
class CalibrateOptions(Options):
    """The options of a calibration; each field is a flag, explained by its help."""

    VERB: ClassVar[str] = "calibrate"

    model: str = bundle_flags.model(group=_MODEL)
    output: str = flag(
        "Folder for the calibrated bundle, on disk or in a bucket.",
        group=_MODEL,
        type=FOLDER,
        metavar="BUNDLE2",
        required=True,
    )
    target_accuracy: float = flag(
        "Share of the accepted images that must be right, such as 0.999.",
        group=_PROMISE,
        type=FiniteRange(0, 1, max_open=True),
        metavar="SHARE",
        required=True,
    )
    delta: float = flag(
        "Probability with which the promise may be broken, over the choice of the labeled images.",
        group=_PROMISE,
        type=FiniteRange(0, 1, min_open=True, max_open=True),
        default=DELTA,
    )
    labels: str | None = flag(
        "A CSV of path,label, as a review exports it; the same as --data labels:CSV.",
        group=_DATA,
        type=FILE,
        metavar="CSV",
    )
    data: tuple[str, ...] = flag(
        "Labeled images that the model was not trained on, as `digitmill train` takes them. Repeatable.",
        group=_DATA,
        default=(),
        metavar="SOURCE",
    )
    split: str = flag(
        "Which images to use: all, or those of one split if training has used the others.",
        group=_DATA,
        type=click.Choice(["test", "validation", ALL]),
        default=ALL,
    )
    engine: str = bundle_flags.engine(group=_MODEL)
    data_dir: str | None = training_flags.data_dir(group=_DATA)
    max_bad_rate: float = training_flags.max_bad_rate(
        "Share of a source's images that may be unusable.", group=_DATA
    )
    cache_dir: pathlib.Path | None = training_flags.cache_dir(
        "Folder that keeps decoded images for the next run.", group=_DATA
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sources:
            raise UserError(
                "there are no labeled images", value="no --labels", hint="give them by --labels or --data"
            )

    @property
    def sources(self) -> tuple[str, ...]:
        """The `--data` values, the labels file among them."""
        return (*([f"labels:{self.labels}"] if self.labels else []), *self.data)
