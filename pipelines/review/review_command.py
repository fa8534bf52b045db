"""The command `digitmill review`; its flags are the fields of `ReviewOptions`."""

from digitmill.commands import answer, verb
from pipelines.review.review_options import ReviewOptions
from schemas.errors import ExitCode


@verb(options=ReviewOptions)
def review(options: ReviewOptions) -> ExitCode:
    """Make a page of the images in OUTPUT, a finished run, that are below the accept threshold.

    Open it in any browser; it needs no network. Digit keys label, Enter takes the model's digit,
    Backspace undoes, u means unreadable, ? shows all keys. Download labels.csv from it:
    `digitmill train --data labels:labels.csv` trains on it, and `evaluate` and `score --labels` use it as the
    truth. Each image is read again from its original place.

    \b
    Examples:
      digitmill review scores
      digitmill train --recipe cnn --init run/bundle --data sample --data labels:labels.csv@5 --output run2
      digitmill review gs://bucket/nights/7 --page tonight.html --limit 500
    """
    from digitmill.storage.names import check_found

    check_found(options.output, "run")
    from pipelines.review import review_job

    summary = review_job.run(options)
    answer(summary.table(), summary.as_data())
    return ExitCode.OK
