"""Entry point of the scoring job: `digitmill score`, and `python -m pipelines.score` for Beam launchers."""

import pathlib
import sys

import click

from schemas.errors import ExitCode


@click.command(
    context_settings={"ignore_unknown_options": True},
    short_help="Score every image of a folder, and account for each.",
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    required=True,
    metavar="FOLDER|FILE|GLOB",
    help="Images to score; may be given several times.",
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
    type=click.Path(path_type=pathlib.Path),
    help="Folder for predictions, reports and the manifest.",
)
@click.option(
    "--labels",
    metavar="folder|CSV",
    help="True digits, for accuracy and confusion: the images' folder names, or a CSV of path,label.",
)
@click.option(
    "--accept-threshold",
    type=click.FloatRange(0, 1),
    help="Confidence from which a prediction is accepted; below it is for review.  [default: the model's]",
)
@click.argument("beam_flags", nargs=-1, type=click.UNPROCESSED, metavar="[BEAM FLAGS]...")
def score(
    inputs: tuple[str, ...],
    *,
    model: pathlib.Path,
    output: pathlib.Path,
    labels: str | None,
    accept_threshold: float | None,
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
    from pipelines import job

    options = job.ScoreOptions(
        inputs=inputs,
        model=model,
        output=output,
        labels=labels,
        accept_threshold=accept_threshold,
        beam_flags=beam_flags,
    )
    summary = job.run(options)
    click.echo(summary.table())
    return ExitCode.OK


if __name__ == "__main__":
    # The face reads the arguments and words the errors, whichever name the job is called by.
    from digitmill.cli import main

    main(["score", *sys.argv[1:]])
