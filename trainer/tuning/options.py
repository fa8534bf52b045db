"""What a search is told: one record, checked once."""

import dataclasses
import pathlib

from commands import run_config
from commands.command_line import command_line
from schemas.errors import UserError
from trainer.command import flags_of, words_of
from trainer.options import TrainOptions


@dataclasses.dataclass(frozen=True)
class TuneOptions:
    """One search.

    Attributes:
        train: the training that is varied: recipe, data, seed, epochs; its `output` is of no matter.
        trials: trainings in all, those of earlier processes included.
        output: folder of the study, local.
        resume: whether to go on with the study in it, if there is one.
    """

    train: TrainOptions
    trials: int
    output: pathlib.Path
    resume: bool = False

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise UserError("--trials is at least 1", got=self.trials, remedy="give another value")
        if self.train.is_ensemble:
            raise UserError(
                "a search trains one network at a time", got="members", remedy="tune one, then --members"
            )

    def run_config(self) -> str:
        """Returns the file that asks for the same search, in another folder."""
        return run_config.to_text("tune", {**flags_of(self.train), "trials": self.trials})

    def resuming(self) -> str:
        """Returns the command that goes on with the search."""
        words = words_of(flags_of(self.train))
        return command_line(
            "tune", *words, "--trials", str(self.trials), "--output", str(self.output), "--resume"
        )
