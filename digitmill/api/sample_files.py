"""`digitmill.sample`: real digits as image files, for a first try without your own data."""

import os
import pathlib

from schemas.errors import UserError
from trainer.data.sources import embedded_sample

_SPLITS = ("train", "validation", "test")


def sample(folder: str | os.PathLike[str], *, split: str = "test", number: int | None = None) -> pathlib.Path:
    """Write MNIST digits that come with digitmill to FOLDER/LABEL/NUMBER.png, like `digitmill sample`.

    Args:
        folder: a local folder, which must be empty or not exist.
        split: `train`, `validation` or `test`: 4,000, 500 or 500 images; training never uses test.
        number: number of images, spread evenly over the digits; all by default.

    Returns:
        The folder.

    Raises:
        UserError: when the folder is not empty or not writable, or the split has fewer images.
    """
    if split not in _SPLITS:
        raise UserError("the sample has no such split", value=split, hint=f"give {', '.join(_SPLITS)}")
    embedded_sample.write_files(pathlib.Path(folder), split, number=number)
    return pathlib.Path(folder)
