"""The flags of `digitmill pack`."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

import click

from digitmill.commands import Effect, OptionGroup, Options, beam_flags, flag
from digitmill.commands.parameter_types import FILE, FOLDER, FiniteRange
from pipelines import scoring_flags

_INPUT: Final = OptionGroup("Input")
_OUTPUT: Final = OptionGroup("Output")
_RUNNER: Final = OptionGroup("Other runners")
_RESUME: Final = OptionGroup("Resume")


@dataclasses.dataclass(frozen=True)
class PackOptions(Options):
    """The options of a packing run; each field is a flag, explained by its help."""

    VERB: ClassVar[str] = "pack"

    inputs: tuple[str, ...] = flag(
        "Images to pack, on disk or in gs://, s3:// or az://. Repeatable.",
        "--input",
        group=_INPUT,
        type=FILE,
        metavar="FOLDER|FILE|GLOB",
        fallback=(),
        effect=Effect.RUN,
    )
    output: str = flag(
        "Folder for the shards and the manifest, on disk or in a bucket.",
        group=_OUTPUT,
        type=FOLDER,
        metavar="DIR",
        effect=Effect.RUN,
        required=True,
    )
    labels: str | None = flag(
        "True digits, to train on: the images' folder names, or a CSV of path,label, on disk or in a bucket.",
        group=_INPUT,
        type=FILE,
        metavar="folder|CSV",
    )
    include: tuple[str, ...] = scoring_flags.include(group=_INPUT)
    exclude: tuple[str, ...] = scoring_flags.exclude(group=_INPUT)
    strict_listing: bool = scoring_flags.strict_listing(group=_INPUT)
    shard_megabytes: float = flag(
        "Greatest size of a shard; all are about equal. A worker needs twice as much memory.",
        group=_OUTPUT,
        type=FiniteRange(min=0, min_open=True),
        default=100,
        always=True,
    )
    shuffle: bool = flag(
        "Shuffle the images, so that every shard holds all kinds.", group=_OUTPUT, default=False
    )
    seed: int = flag(
        "Determines the order of --shuffle.", group=_OUTPUT, type=click.IntRange(min=0), default=0
    )
    sign: pathlib.Path | None = scoring_flags.sign(group=_OUTPUT)
    resume: bool = flag(
        "Resume the pack in the output, if there is one.", group=_RESUME, default=False, effect=Effect.RUN
    )
    stall_timeout: float | None = scoring_flags.stall_timeout(group=_RUNNER)
    beam_flags: tuple[str, ...] = beam_flags("[INPUT]... [BEAM FLAGS]...")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Return the options that a command line gives."""
        return super().of(scoring_flags.with_positional_inputs(given))
