"""Flags that the scoring jobs share."""

from collections.abc import Callable

import click
from cloup import OptionGroup

from commands import option


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
