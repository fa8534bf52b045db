"""What a search is told: one record, checked once."""

import dataclasses
import pathlib
import re
from typing import Final

from digitmill.commands import run_config
from digitmill.commands.command_line import command_line
from schemas.errors import UserError
from trainer.printed_command import flags_of, words_of
from trainer.train_options import TrainOptions

# A path has one slash where an address has two.
_ADDRESS: Final = re.compile(r"^(\w+):/+(?=.)")


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
        if _ADDRESS.match(str(self.output)):
            # The journal is locked, and written line by line: no object in a bucket can be.
            raise UserError(
                "--output of a search is a folder on this machine",
                got=_ADDRESS.sub(r"\1://", str(self.output)),
                remedy="name a local one, and copy best.yaml to the bucket afterwards",
            )
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
