"""`digitmill report`: the report of a finished run again; hands it to the job that it is of."""

import click

from pipelines import flags
from schemas.errors import UserError


@click.command(short_help="Make the report of a finished run again.")
@click.argument("outputs", nargs=-1, required=True, metavar="OUTPUT")
@click.option(
    "--to",
    metavar="DIR",
    help="New folder for the report, on disk or in gs://.  [default: the output itself]",
)
@flags.price_per_hour
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
    click.echo(rebuild(*outputs, to=to, price_per_hour=price_per_hour))
