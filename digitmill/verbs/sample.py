"""`digitmill sample`: writes real digits as image files, for a first try without own data."""

import pathlib

import click
from cloup import OptionGroup

from digitmill.commands import answer, argument, option, verb
from digitmill.commands.parameter_types import LOCAL
from schemas.errors import counted

_SPLITS = ("train", "validation", "test")
_WHICH = OptionGroup("Which digits")


@verb()
@argument("folder", type=LOCAL)
@option(
    "--split",
    type=click.Choice(_SPLITS),
    default="test",
    show_default=True,
    help="Split of the sample: 4,000, 500 or 500 images; the trainer never sees test.",
    group=_WHICH,
)
@option(
    "--n",
    "number",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of images, spread evenly over the digits.  [default: all]",
    group=_WHICH,
)
def sample(folder: pathlib.Path, *, split: str, number: int | None) -> None:
    """Write digits of the embedded sample to FOLDER as PNGs, one sub-folder per label.

    \b
    Examples:
      digitmill sample digits
      digitmill sample digits --n 100
    """
    written = write_sample(folder, split, number=number)
    answer(
        f"{counted(written, 'image')} of the {split} split in {folder}",
        {"folder": str(folder), "split": split, "images": written},
    )


def write_sample(folder: pathlib.Path, split: str, *, number: int | None = None) -> int:
    """Write a split of the sample to FOLDER/LABEL/NUMBER.png; return the number of images."""
    from trainer.data.sources import embedded_sample

    return embedded_sample.write_files(folder, split, number=number)
