"""Entry point of the scoring job: `digitmill score`, and `python -m pipelines.score` for Beam launchers."""

import pathlib
import sys

import click

from pipelines.flags import FiniteRange
from pipelines.read_limits import CONNECTIONS, ReadLimits
from schemas.errors import ExitCode


@click.command(
    context_settings={"ignore_unknown_options": True},
    short_help="Score every image of a folder, and account for each.",
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="FOLDER|FILE|GLOB",
    help="Images to score, on disk or in gs://, s3:// or az://; may be given several times.",
)
@click.option(
    "--input-list",
    metavar="FILE",
    type=click.Path(path_type=pathlib.Path),
    help="File that names images: a path or URI a line, or a CSV with a column path.",
)
@click.option(
    "--model",
    required=True,
    metavar="BUNDLE",
    type=click.Path(path_type=pathlib.Path),
    help="Bundle folder that `digitmill train` wrote.",
)
@click.option(
    "--output",
    required=True,
    metavar="DIR",
    help="Folder for predictions, reports and the manifest, on disk or in gs://.",
)
@click.option(
    "--labels",
    metavar="folder|CSV",
    help="True digits, for accuracy and confusion: the images' folder names, or a CSV of path,label.",
)
@click.option(
    "--accept-threshold",
    type=FiniteRange(0, 1),
    help="Confidence from which a prediction is accepted; below it is for review.  [default: the model's]",
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "litert", "saved_model"]),
    default="auto",
    show_default=True,
    help="What runs the model; auto is saved_model where TensorFlow sees a GPU, else litert.",
)
@click.option(
    "--challenger",
    metavar="BUNDLE",
    type=click.Path(path_type=pathlib.Path),
    help="A second model that scores the same pixels; its answers stand beside the model's.",
)
@click.option(
    "--connections",
    type=click.IntRange(min=1),
    default=CONNECTIONS,
    show_default=True,
    help="Connections that a worker process keeps to buckets.",
)
@click.option(
    "--max-requests-per-second",
    type=FiniteRange(min=0, min_open=True),
    help="Bound on a worker process's requests to buckets.  [default: 5,000, doubling every 20 minutes]",
)
@click.argument("beam_flags", nargs=-1, type=click.UNPROCESSED, metavar="[BEAM FLAGS]...")
def score(
    inputs: tuple[str, ...],
    *,
    model: pathlib.Path,
    output: str,
    input_list: pathlib.Path | None,
    labels: str | None,
    accept_threshold: float | None,
    engine: str,
    challenger: pathlib.Path | None,
    connections: int,
    max_requests_per_second: float | None,
    beam_flags: tuple[str, ...],
) -> ExitCode:
    """Score every image of a folder and account for each: predicted once, or failed with a reason.

    All flags of Apache Beam are understood too. --runner is DirectRunner by default, and means its
    in-process engine.

    \b
    Examples:
      digitmill score --input scans --model run/bundle --output scores
      digitmill score --input 'scans/**/*.png' --labels truth.csv --model run/bundle --output scores
    """
    if not inputs and input_list is None:
        raise click.UsageError("Missing option '--input' or '--input-list'.")
    from pipelines import job

    options = job.ScoreOptions(
        inputs=inputs,
        model=model,
        output=output,
        input_list=input_list,
        labels=labels,
        accept_threshold=accept_threshold,
        engine=engine,
        challenger=challenger,
        limits=ReadLimits(connections=connections, requests_per_second=max_requests_per_second),
        beam_flags=beam_flags,
    )
    summary = job.run(options)
    click.echo(summary.table())
    return ExitCode.OK


if __name__ == "__main__":
    # The face reads the arguments and words the errors, whichever name the job is called by.
    from digitmill.cli import main

    main(["score", *sys.argv[1:]])
