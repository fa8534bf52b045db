"""The command `digitmill score`; its flags are the fields of `pipelines.score_options.ScoreOptions`."""

import click

from digitmill.commands import answer, option, verb
from pipelines.score_options import FIRST_LOOK, ScoreOptions
from schemas.errors import ExitCode


def _needs_no_output(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    """Make `--output` optional; the callback of `--dry-run`."""
    del param
    if value:
        ctx.default_map = {"output": "", **(ctx.default_map or {})}
    return value


@verb(
    options=ScoreOptions,
    context_settings={"ignore_unknown_options": True},
)
@option(
    "--dry-run",
    is_flag=True,
    is_eager=True,
    callback=_needs_no_output,
    help="List, count and estimate; score and write nothing. Needs no --output.",
    group=FIRST_LOOK,
)
def score(options: ScoreOptions, *, dry_run: bool) -> ExitCode:
    """Score every image of a folder and account for each: predicted once, or failed with a reason.

    With --resume, a run that was stopped or killed continues; if there is none, a new one begins. --since
    scores only images that no earlier run has scored.

    All flags of Apache Beam work too. --runner is DirectRunner by default, Beam's engine in this process.

    \b
    Examples:
      digitmill score scans --output scores
      digitmill score 'scans/**/*.png' --labels truth.csv --model run/bundle --output scores
      digitmill score --input scans --model run/bundle --since nights --output nights/2 --resume
    """
    if not options.inputs and options.input_list is None:
        raise click.MissingParameter(param_type="option", param_hint="'--input' or '--input-list'")
    if dry_run:
        from pipelines.runners.local_beam import import_beam
        from pipelines.score.early_checks import check_early

        check_early(options, begins=False)
        import_beam(options.beam_flags)
        from pipelines.score.preview import preview

        seen = preview(options)
        answer(seen.table(), seen.as_data())
        return ExitCode.OK
    from pipelines.score.score_start import run_score

    summary = run_score(options, one_command=True)
    answer(summary.table(), summary.as_data())
    return summary.exit_code
