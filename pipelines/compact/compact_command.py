"""The command `digitmill compact`."""

import itertools

import click
from cloup import OptionGroup

from digitmill.commands import answer, option, verb
from digitmill.commands.parameter_types import FOLDER
from pipelines import scoring_flags
from schemas.errors import ExitCode

_OUTPUT = OptionGroup("What is written")


@verb(
    context_settings={"ignore_unknown_options": True},
    short_help="Merge the runs of many nights into their present state.",
)
@click.argument(
    "runs", nargs=-1, required=True, type=click.UNPROCESSED, metavar="RUN|PARENT... [BEAM FLAGS]..."
)
@option(
    "--output",
    type=FOLDER,
    required=True,
    metavar="DIR",
    help="Folder for the merged predictions, reports and the manifest, on disk or in gs://.",
    group=_OUTPUT,
)
@scoring_flags.rows_per_part("Rows that a prediction file comes to.", group=_OUTPUT)
@scoring_flags.compression(group=_OUTPUT)
@option("--resume", is_flag=True, help="Go on with what was begun in the output.", group=_OUTPUT)
def compact(
    runs: tuple[str, ...], *, output: str, rows_per_part: int, compression: str, resume: bool
) -> ExitCode:
    """Merge the outputs of runs into one that holds the present state: of each image its last answer.

    RUN is the output of a run, PARENT a folder above several. An image is there when the last run over
    its inputs, or a later one over a part of them, listed it. What is written is a run's output like
    any other: `verify` checks it, and --since builds on it.

    \b
    Example:
      digitmill compact nights --output state
    """
    from pipelines.compact import compact_job
    from schemas.layout import Compression

    # A flag of Beam's may be followed by its value.
    places = tuple(itertools.takewhile(lambda given: not given.startswith("-"), runs))
    if not places:
        raise click.UsageError("The runs come before the flags of Beam.")
    options = compact_job.CompactOptions(
        runs=places,
        output=output,
        rows_per_part=rows_per_part,
        compression=Compression(compression),
        resume=resume,
        beam_flags=runs[len(places) :],
    )
    summary = compact_job.run(options)
    answer(summary.table(), summary.as_data())
    return ExitCode.OK
