"""The flags of `digitmill tune`."""

import dataclasses
import pathlib
from typing import ClassVar, Final

import click

from digitmill.commands import Effect, OptionGroup, Options, flag
from digitmill.commands.parameter_types import FOLDER
from trainer import training_flags
from trainer.train_options import TrainOptions

WHAT: Final = OptionGroup("Search")
_EACH: Final = OptionGroup("Each trial")
_COUNT: Final = click.IntRange(min=1)


@dataclasses.dataclass(frozen=True)
class TuneOptions(Options):
    """The options of a search; each field is a flag, explained by its help."""

    VERB: ClassVar[str] = "tune"

    recipe: str = training_flags.recipe("What to tune: see `digitmill recipes`.", group=WHAT)
    data: str | tuple[str, ...] = training_flags.data(
        "As for `digitmill train`; the test split is never used.", group=WHAT
    )
    output: pathlib.Path = flag(
        "Folder for the study, trials.csv, trials.png and best.yaml, on a disk of this machine or shared.",
        group=WHAT,
        metavar="DIR",
        fallback=None,  # --study-spec needs none
        effect=Effect.RUN,
    )
    epochs: int | None = flag(
        "Epochs of each trial; the recipe's own by default.", group=_EACH, type=_COUNT, metavar="N"
    )
    teacher: str | None = flag(
        "Bundle to distil, for recipes that have a teacher.", group=_EACH, type=FOLDER, metavar="BUNDLE"
    )
    seed: int = training_flags.seed("Seed of every trial, and of the search.", group=_EACH)
    replicas: int | None = flag(
        "Devices that share each batch, as for `digitmill train`.", group=_EACH, type=_COUNT, metavar="N"
    )
    require_gpus: int | None = training_flags.require_gpus(group=_EACH)
    allow_cpu: bool = training_flags.allow_cpu(group=_EACH)
    data_dir: str | None = training_flags.data_dir(group=_EACH)
    cache_dir: pathlib.Path | None = training_flags.cache_dir(
        "Folder that keeps decoded images for the next run.", group=_EACH
    )
    trials: int = flag(
        "Number of trials, earlier ones included.",
        group=WHAT,
        type=_COUNT,
        metavar="N",
        default=20,
        always=True,
    )
    parallel: int = flag(
        "Trials at a time, in processes that share this machine's GPUs and cores.",
        group=WHAT,
        type=_COUNT,
        metavar="N",
        default=1,
        effect=Effect.RUN,
    )
    resume: bool = flag(
        "Resume the search in DIR, if there is one, or join it from another machine.",
        group=WHAT,
        default=False,
        effect=Effect.RUN,
    )

    @property
    def train(self) -> TrainOptions:
        """The training whose settings are varied."""
        shared = {field.name for field in dataclasses.fields(TrainOptions)} - {"resume"}
        return TrainOptions(**{name: value for name, value in vars(self).items() if name in shared})
