"""The flags of `digitmill compact`."""

import dataclasses
import itertools
import pathlib
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

import click

from digitmill.commands import Effect, OptionGroup, Options, flag, positional
from digitmill.commands.parameter_types import FOLDER
from pipelines import scoring_flags
from schemas.layout import Compression, Format, parse_formats

_OUTPUT: Final = OptionGroup("Output")
_RUNNER: Final = OptionGroup("Other runners")


@dataclasses.dataclass(frozen=True)
class CompactOptions(Options):
    """The options of `digitmill compact`; each field is a flag, explained by its help.

    Attributes:
        runs: outputs of runs, or folders that contain several outputs.
        beam_flags: flags for Beam, which follow the runs on the command line.
    """

    VERB: ClassVar[str] = "compact"

    runs: tuple[str, ...] = positional(
        metavar="RUN|PARENT... [BEAM FLAGS]...", nargs=-1, type=click.UNPROCESSED
    )
    output: str = flag(
        "Folder for the merged predictions, reports and the manifest, on disk or in a bucket.",
        group=_OUTPUT,
        type=FOLDER,
        metavar="DIR",
        effect=Effect.RUN,
        required=True,
    )
    rows_per_part: int = scoring_flags.rows_per_part("Rows in a prediction file.", group=_OUTPUT, always=True)
    compression: Compression = scoring_flags.compression(group=_OUTPUT, always=True)
    format: str | None = scoring_flags.formats(group=_OUTPUT)
    sign: pathlib.Path | None = scoring_flags.sign(group=_OUTPUT)
    resume: bool = flag(
        "Resume the run in the output, if there is one.", group=_OUTPUT, default=False, effect=Effect.RUN
    )
    stall_timeout: float | None = scoring_flags.stall_timeout(group=_RUNNER)
    beam_flags: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Return the options of a command line, in which click does not separate runs and Beam flags."""
        words = given["runs"]
        # A Beam flag may be followed by its value.
        places = tuple(itertools.takewhile(lambda word: not word.startswith("-"), words))
        if not places:
            raise click.UsageError("The runs come before the flags of Beam.")
        return super().of({**given, "runs": places, "beam_flags": words[len(places) :]})

    @property
    def formats(self) -> tuple[Format, ...]:
        """The formats of the prediction files."""
        return parse_formats(self.format)

    def settings(self) -> dict[str, object]:
        """Return the given options by their keys in `run.yaml`, without the output."""
        return super().settings() | {"runs": [*self.runs, *self.beam_flags]}
