"""The flags of `digitmill evaluate`."""

import dataclasses
import pathlib
from typing import ClassVar, Final

import click

from digitmill.commands import OptionGroup, Options, bundle_flags, flag
from trainer import training_flags

KERAS: Final = "keras"
"""An engine for evaluation only, not for scoring."""

ALL: Final = "all"
"""Stands for all splits."""

_MODEL: Final = OptionGroup("Model")
_DATA: Final = OptionGroup("Data")


@dataclasses.dataclass(frozen=True)
class EvaluateOptions(Options):
    """The options of an evaluation; each field is a flag, explained by its help."""

    VERB: ClassVar[str] = "evaluate"

    model: str = bundle_flags.model(group=_MODEL)
    data: tuple[str, ...] = flag(
        "As `digitmill train` takes it: sample, tfds:NAME, folder:PATH, labels:FILE.csv, idx:DIR, "
        "tfrecord:GLOB, fonts: or not-digits:. Repeatable.",
        group=_DATA,
        metavar="SOURCE",
        required=True,
    )
    split: str = flag(
        "Which images to use. test: the source's test images; for a source without splits, the "
        "tenth that training keeps for the test.",
        group=_DATA,
        type=click.Choice(["test", "validation", "train", ALL]),
        default="test",
    )
    engine: str = bundle_flags.engine(KERAS, group=_MODEL)
    data_dir: str | None = training_flags.data_dir(group=_DATA)
    max_bad_rate: float = training_flags.max_bad_rate(
        "Share of a source's images that may be unusable.", group=_DATA
    )
    cache_dir: pathlib.Path | None = training_flags.cache_dir(
        "Folder that keeps decoded images for the next run.", group=_DATA
    )
