"""The command `digitmill review`."""

import click
from cloup import OptionGroup

from digitmill.commands import answer, argument, option, verb
from digitmill.commands.parameter_types import FILE, FOLDER
from schemas.errors import ExitCode

_PAGE = OptionGroup("The page")


@verb(short_help="Make a page on which people label what the model was unsure of.")
@argument("output", type=FOLDER, metavar="OUTPUT")
@option(
    "--limit",
    type=click.IntRange(min=1),
    default=5_000,
    show_default=True,
    metavar="N",
    help="Images on the page, the least sure ones.",
    group=_PAGE,
)
@option(
    "--page",
    type=FILE,
    metavar="FILE",
    help="Where the page is written, on disk or in gs://.  [default: OUTPUT/review.html]",
    group=_PAGE,
)
def review(output: str, *, limit: int, page: str | None) -> ExitCode:
    """Make a page of the images in OUTPUT, a finished run, that are below the accept threshold.

    Open it in any browser; it needs no network. Digit keys label, Enter takes the model's digit,
    Backspace undoes, u says unreadable, ? shows all keys. It hands out labels.csv, which
    `digitmill train --data labels:labels.csv` trains on, and `evaluate` and `score --labels` take
    for the truth. Each image is read again where it was scored from.

    \b
    Examples:
      digitmill review scores
      digitmill train --recipe cnn --init run/bundle --data sample --data labels:labels.csv@5 --output run2
      digitmill review gs://bucket/nights/7 --page tonight.html --limit 500
    """
    from pipelines.review import review_job

    options = review_job.ReviewOptions(output=output, limit=limit, page=page)
    summary = review_job.run(options)
    answer(summary.table(), summary.as_data())
    return ExitCode.OK
