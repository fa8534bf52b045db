"""`digitmill report`: rebuilds the report of a finished run, or compares training runs."""

from cloup import OptionGroup

from digitmill.commands import answer, argument, option, verb
from digitmill.commands.parameter_types import FOLDER, FiniteRange
from schemas.errors import UserError

_REPORT = OptionGroup("The report")


@verb()
@argument("runs", nargs=-1, required=True, type=FOLDER, metavar="RUN...")
@option(
    "--to",
    type=FOLDER,
    metavar="DIR",
    help="New report folder, on disk or in a bucket.  "
    "[default: the run or the folder of runs; of several: comparison, or nights-report]",
    group=_REPORT,
)
@option(
    "--price-per-hour",
    type=FiniteRange(min=0),
    metavar="AMOUNT",
    help="Price of all machines for an hour; the report then states the cost of the run.",
    group=_REPORT,
)
def report(runs: tuple[str, ...], *, to: str | None, price_per_hour: float | None) -> None:
    """Rebuild the report of RUN from the files of the run, and print the path of its page.

    RUN is an output of `digitmill score`, or a run folder of `digitmill train`; several run folders
    are compared. Of a folder of scoring runs, or of several, one page shows all nights at a glance:
    nights.html, in that folder. Nothing is scored or trained again.

    Missing or damaged report files of a scoring run are restored. A report that differs from the one
    in the manifest, because of another version or a price, needs a new folder: --to. With --json, the
    answer has the figures of a scoring run: accuracy with its interval, failures by code, share accepted.

    \b
    Examples:
      digitmill report scores
      digitmill report scores --json
      digitmill report scores --to cost --price-per-hour 1.20
      digitmill report run
      digitmill report run1 run2 run3 --to comparison
      digitmill report nights
    """
    from digitmill.storage.names import check_found

    for run in runs:
        check_found(run, "run")
    from pipelines.report import nights_report
    from trainer.report import writing as training

    is_training = training.is_run(runs[0])
    is_overview = not is_training and nights_report.is_overview(runs)
    if is_overview or is_training or len(runs) > 1:
        if price_per_hour is not None:
            raise UserError(
                "--price-per-hour is for single scoring runs only", value=price_per_hour, hint="leave it out"
            )
        if is_overview:
            _print_page(nights_report.report_nights(runs, to=to))
            return
        _print_page(training.compare(runs, to=to) if len(runs) > 1 else training.rebuild(runs[0], to=to))
        return
    from pipelines.report.rebuilding import rebuild_report, run_figures

    page = rebuild_report(runs[0], to=to, price_per_hour=price_per_hour)
    answer(page, {"report": page, **run_figures(runs[0])})


def _print_page(page: str) -> None:
    answer(page, {"report": page})
