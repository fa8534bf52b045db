"""`digitmill sample`: writes real digits as image files, for a first try without own data."""

import collections
import pathlib
from collections.abc import Sequence

import click
from cloup import OptionGroup

from digitmill.commands import answer, argument, option, verb
from digitmill.commands.parameter_types import LOCAL
from schemas.errors import UserError

_SPLITS = ("train", "validation", "test")
_WHICH = OptionGroup("Which digits")


@verb(short_help="Write real digits as PNGs, for a first try.")
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
        f"{written:,} images of the {split} split in {folder}",
        {"folder": str(folder), "split": split, "images": written},
    )


def write_sample(folder: pathlib.Path, split: str, *, number: int | None = None) -> int:
    """Write a split of the sample to FOLDER/LABEL/NUMBER.png; return the number of images.

    Of a `number` of images come the first of each digit, then the second of each, and so on.

    Raises:
        UserError: when the folder is not empty or not writable, or the split has fewer images.
    """
    import cv2

    from trainer.data.sources import embedded_sample as source

    digits = getattr(source.digits(), split)
    chosen = _chosen(digits.labels, number)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError("the sample folder is not empty", value=str(folder), hint="choose another folder")
        for position in chosen:
            target = folder / str(digits.labels[position]) / f"{position:05d}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(cv2.imencode(".png", digits.images[position])[1].tobytes())
    except OSError as error:
        raise UserError(
            "cannot write to the sample folder",
            value=str(folder),
            hint=f"choose another folder ({error.strerror})",
        ) from error
    return len(chosen)


def _chosen(labels: Sequence[int], number: int | None) -> list[int]:
    """Return the positions of the first of each label, then the second of each, and so on."""
    if number is None:
        return list(range(len(labels)))
    if number > len(labels):
        raise UserError(
            f"--n exceeds the {len(labels):,} images of the split",
            value=number,
            hint="choose a smaller number, or --split train",
        )
    seen: collections.Counter[int] = collections.Counter()
    ranked = []
    for position, label in enumerate(labels):
        ranked.append((seen[label], position))
        seen[label] += 1
    return sorted(position for _, position in sorted(ranked)[:number])
