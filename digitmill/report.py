"""`digitmill report`: the report of a finished run again; hands it to the job that it is of."""

from cloup import OptionGroup

from commands import answer, argument, option, verb
from commands.values import FOLDER
from pipelines import flags
from schemas.errors import UserError

_REPORT = OptionGroup("The report")


@verb(short_help="Make the report of a finished run again.")
@argument("outputs", nargs=-1, required=True, type=FOLDER, metavar="OUTPUT")
@option(
    "--to",
    type=FOLDER,
    metavar="DIR",
    help="New folder for the report, on disk or in gs://.  [default: the output itself]",
    group=_REPORT,
)
@flags.price_per_hour(group=_REPORT)
def report(outputs: tuple[str, ...], *, to: str | None, price_per_hour: float | None) -> None:
    """Make the report of OUTPUT again from what it holds, and print where its page is.

    In place what is missing or damaged is mended. A report that comes out otherwise than the one that
    the manifest names, by another version or with a price, goes to a folder of its own.

    \b
    Examples:
      digitmill report scores
      digitmill report scores --to cost --price-per-hour 1.20
    """
    from pipelines.rebuilding import rebuild

    if len(outputs) > 1:
        raise UserError("a report is of one run", got=" ".join(outputs), remedy="name one output")
    page = rebuild(*outputs, to=to, price_per_hour=price_per_hour)
    answer(page, {"report": page})
