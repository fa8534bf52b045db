"""Entry point of the packing job: `digitmill pack`, and `python -m pipelines.pack` for Beam launchers."""

from digitmill import import_path

if __name__ == "__main__":
    import_path.check()

import click
from cloup import OptionGroup

from digitmill.commands import answer, main, option, verb
from digitmill.commands.parameter_types import FILE, FOLDER, FiniteRange
from schemas.errors import ExitCode

_INPUT = OptionGroup("What is packed")
_OUTPUT = OptionGroup("What is written")
_RESUME = OptionGroup("Going on")


@verb(
    context_settings={"ignore_unknown_options": True},
    short_help="Pack a folder's images into a few large files.",
)
@option(
    "--input",
    "inputs",
    multiple=True,
    type=FILE,
    required=True,
    metavar="FOLDER|FILE|GLOB",
    help="Images to pack, on disk or in gs://, s3:// or az://; may be given several times.",
    group=_INPUT,
)
@option(
    "--output",
    type=FOLDER,
    required=True,
    metavar="DIR",
    help="Folder for the shards and the manifest, on disk or in gs://.",
    group=_OUTPUT,
)
@option(
    "--labels",
    type=FILE,
    metavar="folder|CSV",
    help="True digits, to train on: the images' folder names, or a CSV of path,label.",
    group=_INPUT,
)
@option(
    "--shard-megabytes",
    type=FiniteRange(min=0, min_open=True),
    default=100,
    show_default=True,
    help="Size that a shard comes to; a worker holds twice as much.",
    group=_OUTPUT,
)
@option(
    "--resume",
    is_flag=True,
    help="Go on with the pack that was begun in the output, if there is one.",
    group=_RESUME,
)
@click.argument("beam_flags", nargs=-1, type=click.UNPROCESSED, metavar="[BEAM FLAGS]...")
def pack(
    inputs: tuple[str, ...],
    *,
    output: str,
    labels: str | None,
    shard_megabytes: float,
    resume: bool,
    beam_flags: tuple[str, ...],
) -> ExitCode:
    """Pack a folder's images into TFRecord shards, with their names and labels.

    One object an image is the slowest way to keep images. Scoring and training read the shards:
    --input 'packed/*.tfrecord' and --data 'tfrecord:packed/*.tfrecord'.

    Files are packed byte for byte and are not looked into: a text file named .png is packed as it is,
    and scoring fails it. What cannot be read is a row of failures.csv.

    A pack that was stopped, killed or cut off goes on where it was with --resume, which also begins one
    where there is none.

    All flags of Apache Beam are understood too. --runner is DirectRunner by default, and means its
    in-process engine.

    \b
    Examples:
      digitmill pack --input scans --output packed
      digitmill pack --input digits --labels folder --shard-megabytes 200 --output packed
    """
    from pipelines.packing import pack_job

    options = pack_job.PackOptions(
        inputs=inputs,
        output=output,
        labels=labels,
        shard_megabytes=shard_megabytes,
        resume=resume,
        beam_flags=beam_flags,
    )
    summary = pack_job.run(options)
    answer(summary.table(), summary.as_data())
    return ExitCode.OK


if __name__ == "__main__":
    main(pack)
