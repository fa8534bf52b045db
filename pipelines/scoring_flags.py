"""Flags that the scoring jobs share."""

from collections.abc import Callable

import click
from cloup import OptionGroup

from digitmill.commands import option
from digitmill.commands.parameter_types import FiniteRange


def rows_per_part(meaning: str, *, group: OptionGroup) -> Callable[[Callable], Callable]:
    """Returns the option that bounds prediction files, in a verb's own words and group."""
    return option(
        "--rows-per-part",
        type=click.IntRange(min=1),
        default=65_536,
        show_default=True,
        help=meaning,
        group=group,
    )


def compression(*, group: OptionGroup) -> Callable[[Callable], Callable]:
    """Returns the option that chooses which prediction files are gzipped."""
    return option(
        "--compression",
        type=click.Choice(["records", "all", "none"]),
        default="records",
        show_default=True,
        help="Prediction files that are gzipped: the TFRecords, the CSVs too, or none.",
        group=group,
    )


def price_per_hour(*, group: OptionGroup) -> Callable[[Callable], Callable]:
    """Returns the option by which a report knows the price."""
    return option(
        "--price-per-hour",
        type=FiniteRange(min=0),
        metavar="AMOUNT",
        help="What the machines cost an hour, all together; the report then says what the run has cost.",
        group=group,
    )
