"""Flags, and kinds of their values, that the jobs share."""

from collections.abc import Callable
from typing import Any

import click


class FiniteRange(click.FloatRange):
    """A number within bounds; NaN, which compares with none, is outside of all."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Returns the number."""
        number = super().convert(value, param, ctx)
        if number != number or number in (float("inf"), float("-inf")):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def rows_per_part(meaning: str) -> Callable[[Callable], Callable]:
    """Returns the option that bounds prediction files, with a verb's own words for what it does there."""
    return click.option(
        "--rows-per-part", type=click.IntRange(min=1), default=65_536, show_default=True, help=meaning
    )


compression = click.option(
    "--compression",
    type=click.Choice(["records", "all", "none"]),
    default="records",
    show_default=True,
    help="Prediction files that are gzipped: the TFRecords, the CSVs too, or none.",
)
"""The option that chooses which prediction files are gzipped."""

price_per_hour = click.option(
    "--price-per-hour",
    type=FiniteRange(min=0),
    metavar="AMOUNT",
    help="What the machines cost an hour, all together; the report then says what the run has cost.",
)
"""The option by which a report knows the price."""
