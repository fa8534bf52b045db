"""Checks the CSVs that a contender has written: speed counts only where no row is lost."""

import csv
import pathlib
from collections.abc import Iterator


class PredictionsError(Exception):
    """A contender has not predicted every image exactly once."""


def check(output: pathlib.Path, images: int) -> int:
    """Return how many images are predicted right, by the digit that names their folder.

    Args:
        output: folder with one or more CSVs of predictions below it, with the columns image and digit.
        images: how many there must be.

    Raises:
        PredictionsError: when an image has no prediction or two.
    """
    seen: set[str] = set()
    rows = right = 0
    for image, digit in _rows(output):
        rows += 1
        seen.add(image)
        right += image.split("/")[-2] == digit
    if rows != images or len(seen) != images:
        raise PredictionsError(f"{output.name}: {rows:,} rows for {len(seen):,} images of {images:,}")
    return right


def _rows(output: pathlib.Path) -> Iterator[tuple[str, str]]:
    for path in sorted(output.rglob("*.csv")):
        if path.parent.name == "reports":
            continue
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                yield row["image"], row["digit"]
