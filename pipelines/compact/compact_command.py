"""The command `digitmill compact`; its flags are the fields of `CompactOptions`."""

from digitmill.commands import answer, verb
from pipelines.compact.compact_options import CompactOptions
from schemas.errors import ExitCode


@verb(
    options=CompactOptions,
    context_settings={"ignore_unknown_options": True},
)
def compact(options: CompactOptions) -> ExitCode:
    """Merge the outputs of several runs into one that holds the latest prediction of each image.

    RUN is the output of a run, PARENT a folder of several. An image is kept when the last run over its
    inputs, or a later run over a part of them, listed it. The result is the output of a run like any
    other: `verify` checks it, and --since builds on it. A run that an earlier result holds is not read again.

    Under the DirectRunner rows are grouped in a temporary file ($TMPDIR). Flags of Apache Beam choose
    another runner.

    \b
    Examples:
      digitmill compact nights --output state
      digitmill compact nights states --output states/2026-01-31
    """
    from digitmill.storage.names import check_found
    from pipelines.runners.flag_names import check_flag_names
    from pipelines.runners.local_beam import import_beam

    for run in options.runs:
        check_found(run, "run")
    check_flag_names(options.beam_flags)
    import_beam(options.beam_flags)
    from pipelines.compact import compact_job

    summary = compact_job.run(options)
    answer(summary.table(), summary.as_data())
    return ExitCode.OK
