"""Images that a report shows: a bounded number of each sort, the same in any order of the work items."""

import dataclasses
import zlib
from collections.abc import Iterable
from typing import Final

from schemas.digit import CLASSES

DOUBTFUL_KEPT: Final = 24
"""Least sure images whose pixels are kept for the report."""

MISTAKEN_KEPT: Final = 24
"""Images answered wrong, surest first."""

EXAMPLES_KEPT: Final = 8
"""Images of each predicted digit."""


@dataclasses.dataclass(frozen=True)
class KeptImage:
    """An image with the pixels that the model saw."""

    confidence: float
    image: str
    digit: int
    second_digit: int
    label: int
    png: str
    """The canonical digit as a PNG, base64."""


@dataclasses.dataclass(frozen=True)
class FailurePicture:
    """An image that could be decoded and yet not be scored.

    Attributes:
        code: of its failure.
        image: its URI.
        png: a thumbnail, base64.
    """

    code: str
    image: str
    png: str


def draw_of(image: str) -> int:
    """Returns an image's lot in [0, 2^32): the least ones are a sample, and everyone draws the same."""
    return zlib.crc32(image.encode(errors="surrogatepass"))


def least_sure(images: Iterable[KeptImage]) -> tuple[KeptImage, ...]:
    """Returns those of least confidence, least first."""
    return tuple(sorted(images, key=lambda kept: (kept.confidence, kept.image))[:DOUBTFUL_KEPT])


def surest(images: Iterable[KeptImage]) -> tuple[KeptImage, ...]:
    """Returns those of greatest confidence, greatest first."""
    return tuple(sorted(images, key=lambda kept: (-kept.confidence, kept.image))[:MISTAKEN_KEPT])


def drawn(images: Iterable[KeptImage]) -> tuple[KeptImage, ...]:
    """Returns a sample of each predicted digit, digits rising."""
    lots = sorted(images, key=lambda kept: (kept.digit, draw_of(kept.image), kept.image))
    rows = ([kept for kept in lots if kept.digit == digit][:EXAMPLES_KEPT] for digit in range(CLASSES))
    return tuple(kept for row in rows for kept in row)


def first_of_each(pictures: Iterable[FailurePicture]) -> tuple[FailurePicture, ...]:
    """Returns of each code the picture whose name is first."""
    least: dict[str, FailurePicture] = {}
    for picture in sorted(pictures, key=lambda picture: (picture.code, picture.image)):
        least.setdefault(picture.code, picture)
    return tuple(least.values())
