"""Entry point of the packing job: `digitmill pack`, and `python -m pipelines.pack` for Beam launchers."""

from digitmill import import_path

if __name__ == "__main__":
    import_path.check()

import click

from digitmill.commands import answer, main, verb
from pipelines.packing.pack_options import PackOptions
from schemas.errors import ExitCode


@verb(
    options=PackOptions,
    context_settings={"ignore_unknown_options": True},
)
def pack(options: PackOptions) -> ExitCode:
    """Pack a folder's images into TFRecord shards, with their names and labels.

    One object per image is the slowest way to keep images. Scoring and training read the shards:
    --input 'packed/*.tfrecord' and --data 'tfrecord:packed/*.tfrecord'.

    Files are packed byte for byte, without a check of their content: a text file named .png is packed, and
    fails in scoring. A file that cannot be read is a row of failures.csv.

    With --resume, a pack that was stopped or killed continues; if there is none, a new one begins.

    All flags of Apache Beam work too. --runner is DirectRunner by default, Beam's engine in this process.

    \b
    Examples:
      digitmill pack scans --output packed
      digitmill pack --input digits --labels folder --shard-megabytes 200 --output packed
    """
    from digitmill.storage.names import check_found
    from pipelines.runners.flag_names import check_flag_names
    from pipelines.runners.local_beam import import_beam

    if not options.inputs:
        raise click.MissingParameter(param_type="option", param_hint="'--input'")
    for place in options.inputs:
        check_found(place)
    check_flag_names(options.beam_flags)
    import_beam(options.beam_flags)
    from pipelines.packing import pack_job

    summary = pack_job.run(options)
    answer(summary.table(), summary.as_data())
    return ExitCode.OK


if __name__ == "__main__":
    main(pack)
