"""The command `digitmill score`."""

import pathlib

import click
from cloup import OptionGroup

from digitmill.commands import answer, bundle_flags, option, verb
from digitmill.commands.parameter_types import FILE, FOLDER, FiniteRange
from digitmill.storage.read_limits import CONNECTIONS, ReadLimits
from pipelines import scoring_flags
from schemas.errors import ExitCode

_INPUT = OptionGroup("What is scored")
_MODEL = OptionGroup("By which model")
_OUTPUT = OptionGroup("What is written")
_AGAIN = OptionGroup("Going on, and night after night")
_FIRST = OptionGroup("A first look")
_STORES = OptionGroup("How hard buckets are leaned on")
_MACHINE = OptionGroup("This machine")


@verb(
    context_settings={"ignore_unknown_options": True},
    short_help="Score every image of a folder, and account for each.",
)
@option(
    "--input",
    "inputs",
    multiple=True,
    type=FILE,
    metavar="FOLDER|FILE|GLOB",
    help="Images to score, on disk or in gs://, s3:// or az://; may be given several times.",
    group=_INPUT,
)
@option(
    "--input-list",
    metavar="FILE",
    type=click.Path(path_type=pathlib.Path),
    help="File that names images: a path or URI a line, or a CSV with a column path.",
    group=_INPUT,
)
@bundle_flags.model(group=_MODEL)
@option(
    "--output",
    type=FOLDER,
    required=True,
    metavar="DIR",
    help="Folder for predictions, reports and the manifest, on disk or in gs://.",
    group=_OUTPUT,
)
@option(
    "--labels",
    type=FILE,
    metavar="folder|CSV",
    help="True digits, for accuracy and confusion: the images' folder names, or a CSV of path,label.",
    group=_INPUT,
)
@option(
    "--accept-threshold",
    type=FiniteRange(0, 1),
    help="Confidence from which a prediction is accepted; below it is for review.  [default: the model's]",
    group=_MODEL,
)
@bundle_flags.engine(group=_MODEL)
@option(
    "--challenger",
    metavar="BUNDLE",
    type=click.Path(path_type=pathlib.Path),
    help="A second model that scores the same pixels; its answers stand beside the model's.",
    group=_MODEL,
)
@option(
    "--resume",
    is_flag=True,
    help="Go on with the run that was begun in the output, if there is one.",
    group=_AGAIN,
)
@option(
    "--since",
    type=FOLDER,
    metavar="OUTPUT|PARENT",
    help="Score what is new or changed since an earlier run, or all runs in a folder, by the same model.",
    group=_AGAIN,
)
@option(
    "--retry-failures", is_flag=True, help="Score again what failed in the runs of --since.", group=_AGAIN
)
@option("--dry-run", is_flag=True, help="List, count and estimate; score and write nothing.", group=_FIRST)
@option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Score the first N files only.", group=_FIRST
)
@option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="Score N files at random, the same every time.",
    group=_FIRST,
)
@scoring_flags.rows_per_part(
    "Rows that prediction files come to in long runs; the first ones hold 2,048.", group=_OUTPUT
)
@scoring_flags.compression(group=_OUTPUT)
@option(
    "--max-failure-rate",
    type=FiniteRange(0, 1),
    default=0.05,
    show_default=True,
    help="Share of images that may fail; beyond it the run ends as failed, with exit code 3.",
    group=_OUTPUT,
)
@option(
    "--connections",
    type=click.IntRange(min=1),
    default=CONNECTIONS,
    show_default=True,
    help="Connections that a worker process keeps to buckets.",
    group=_STORES,
)
@option(
    "--max-requests-per-second",
    type=FiniteRange(min=0, min_open=True),
    help="Bound on requests to buckets by this machine, or under another runner by each worker process."
    "  [default: 5,000, doubling every 20 minutes]",
    group=_STORES,
)
@option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Worker processes on this machine, each with a model of its own.  [default: one a core]",
    group=_MACHINE,
)
@scoring_flags.price_per_hour(group=_OUTPUT)
@click.argument("beam_flags", nargs=-1, type=click.UNPROCESSED, metavar="[BEAM FLAGS]...")
def score(
    inputs: tuple[str, ...],
    *,
    model: pathlib.Path | None,
    output: str,
    input_list: pathlib.Path | None,
    labels: str | None,
    accept_threshold: float | None,
    engine: str,
    challenger: pathlib.Path | None,
    resume: bool,
    since: str | None,
    retry_failures: bool,
    dry_run: bool,
    limit: int | None,
    sample: int | None,
    rows_per_part: int,
    compression: str,
    max_failure_rate: float,
    connections: int,
    max_requests_per_second: float | None,
    workers: int | None,
    price_per_hour: float | None,
    beam_flags: tuple[str, ...],
) -> ExitCode:
    """Score every image of a folder and account for each: predicted once, or failed with a reason.

    A run that was stopped, killed or cut off goes on where it was with --resume, which also begins one
    where there is none. --since scores what an earlier run has not.

    All flags of Apache Beam are understood too. --runner is DirectRunner by default, and means its
    in-process engine.

    \b
    Examples:
      digitmill score --input scans --output scores
      digitmill score --input 'scans/**/*.png' --labels truth.csv --model run/bundle --output scores
      digitmill score --input scans --model run/bundle --since nights --output nights/2 --resume
    """
    if model is None:
        raise click.UsageError("Missing option '--model'.")
    if not inputs and input_list is None:
        raise click.MissingParameter(param_type="option", param_hint="'--input' or '--input-list'")
    from pipelines.score_options import ScoreOptions
    from schemas.layout import Compression

    options = ScoreOptions(
        inputs=inputs,
        model=model,
        output=output,
        input_list=input_list,
        labels=labels,
        accept_threshold=accept_threshold,
        engine=engine,
        challenger=challenger,
        limits=ReadLimits(connections=connections, requests_per_second=max_requests_per_second),
        resume=resume,
        since=since,
        retry_failures=retry_failures,
        limit=limit,
        sample=sample,
        rows_per_part=rows_per_part,
        compression=Compression(compression),
        max_failure_rate=max_failure_rate,
        workers=workers,
        price_per_hour=price_per_hour,
        beam_flags=beam_flags,
    )
    if dry_run:
        from pipelines.score.preview import preview

        seen = preview(options)
        answer(seen.table(), seen.as_data())
        return ExitCode.OK
    from pipelines.workers.choice import early_pool

    with early_pool(options) as pool:
        # After the workers: it imports Beam, and they get ready meanwhile.
        from pipelines.score import score_job

        summary = score_job.run(options, pool)
    answer(summary.table(), summary.as_data())
    return summary.exit_code
