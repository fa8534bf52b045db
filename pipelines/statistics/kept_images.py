"""Sample images for the report: a bounded number of each kind, independent of the order of the work items."""

import dataclasses
import itertools
import zlib
from collections.abc import Iterable
from typing import Final

MAX_DOUBTFUL: Final = 24
"""Least confident images that are kept."""

MAX_MISTAKEN: Final = 30
"""Most confident wrong images that are kept: a page of labels to check."""

MAX_EXAMPLES_PER_DIGIT: Final = 8
"""Images of each predicted digit that are kept."""

MAX_CONFUSED: Final = 6
"""Wrong images of each cell of the confusion matrix that are kept."""


@dataclasses.dataclass(frozen=True)
class KeptImage:
    """A scored image with the pixels that the model saw."""

    confidence: float
    image: str
    digit: int
    second_digit: int
    label: int
    png: str
    """The canonical digit as a PNG, base64."""


@dataclasses.dataclass(frozen=True)
class FailurePicture:
    """An image that decoded but could not be scored."""

    code: str
    image: str
    png: str
    """A thumbnail as PNG, base64."""


def sample_rank(image: str) -> int:
    """Return an image's pseudo-random rank in [0, 2^32), by its URI: the lowest ranks are the sample."""
    return zlib.crc32(image.encode(errors="surrogatepass"))


def _rest(kept: KeptImage) -> tuple[str, int, int, int, str]:
    # All of it: whatever order the images come in, they are sorted alike.
    return kept.image, kept.digit, kept.second_digit, kept.label, kept.png


def least_confident(images: Iterable[KeptImage]) -> tuple[KeptImage, ...]:
    """Return the images of lowest confidence, lowest first."""
    return tuple(sorted(images, key=lambda kept: (kept.confidence, *_rest(kept)))[:MAX_DOUBTFUL])


def most_confident(images: Iterable[KeptImage]) -> tuple[KeptImage, ...]:
    """Return the images of highest confidence, highest first."""
    return tuple(sorted(images, key=lambda kept: (-kept.confidence, *_rest(kept)))[:MAX_MISTAKEN])


def sample_per_digit(images: Iterable[KeptImage]) -> tuple[KeptImage, ...]:
    """Return a sample of each predicted digit, sorted by digit."""
    ranked = sorted(
        images, key=lambda kept: (kept.digit, sample_rank(kept.image), *_rest(kept), kept.confidence)
    )
    rows = itertools.groupby(ranked, key=lambda kept: kept.digit)
    return tuple(kept for _, row in rows for kept in itertools.islice(row, MAX_EXAMPLES_PER_DIGIT))


def sample_per_confusion(images: Iterable[KeptImage]) -> tuple[KeptImage, ...]:
    """Return the most confident images of each pair of label and predicted digit, sorted by these."""
    ranked = sorted(images, key=lambda kept: (kept.label, kept.digit, -kept.confidence, *_rest(kept)))
    cells = itertools.groupby(ranked, key=lambda kept: (kept.label, kept.digit))
    return tuple(kept for _, cell in cells for kept in itertools.islice(cell, MAX_CONFUSED))


def first_per_code(pictures: Iterable[FailurePicture]) -> tuple[FailurePicture, ...]:
    """Return the first picture of each code, by URI."""
    least: dict[str, FailurePicture] = {}
    for picture in sorted(pictures, key=lambda picture: (picture.code, picture.image, picture.png)):
        least.setdefault(picture.code, picture)
    return tuple(least.values())
