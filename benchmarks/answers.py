"""Reads the CSVs that a contender has written: a fast one that loses rows has won nothing."""

import csv
import pathlib
from collections.abc import Iterator


class AnswersError(Exception):
    """A contender has not answered for every image once."""


def check(output: pathlib.Path, images: int) -> int:
    """Returns how many images were given the digit that their folder is named by.

    Args:
        output: folder with one or more CSVs of predictions below it, with the columns image and digit.
        images: how many there must be.

    Raises:
        AnswersError: when an image is missing, or answered for twice.
    """
    seen: set[str] = set()
    rows = right = 0
    for image, digit in _rows(output):
        rows += 1
        seen.add(image)
        right += image.split("/")[-2] == digit
    if rows != images or len(seen) != images:
        raise AnswersError(f"{output.name}: {rows:,} rows for {len(seen):,} images of {images:,}")
    return right


def _rows(output: pathlib.Path) -> Iterator[tuple[str, str]]:
    for path in sorted(output.rglob("*.csv")):
        if path.parent.name == "reports":
            continue
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                yield row["image"], row["digit"]
