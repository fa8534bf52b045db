"""The flags of `digitmill review`."""

import dataclasses
from typing import ClassVar, Final

import click

from digitmill.commands import OptionGroup, Options, flag, positional
from digitmill.commands.parameter_types import FILE, FOLDER

_PAGE: Final = OptionGroup("Page")


@dataclasses.dataclass(frozen=True)
class ReviewOptions(Options):
    """The options of `digitmill review`; each field is a flag, explained by its help.

    Attributes:
        output: output folder of a finished run, local or in a bucket.
    """

    VERB: ClassVar[str] = "review"

    output: str = positional(metavar="OUTPUT", type=FOLDER)
    limit: int = flag(
        "Images on the page, the least sure ones.",
        group=_PAGE,
        type=click.IntRange(min=1),
        metavar="N",
        default=5_000,  # a day's work for one person
    )
    page: str | None = flag(
        "Where the page is written, on disk or in a bucket.  [default: OUTPUT/review.html]",
        group=_PAGE,
        type=FILE,
        metavar="FILE",
    )
