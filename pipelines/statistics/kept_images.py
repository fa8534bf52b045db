"""Sample images for the report: a bounded number of each kind, regardless of the work items' order."""

import dataclasses
import itertools
import zlib
from collections.abc import Iterable
from typing import Final

MAX_DOUBTFUL: Final = 24
"""Number of least confident images to keep."""

MAX_MISTAKEN: Final = 30
"""Number of most confident wrong images to keep: a page of labels to check."""

MAX_EXAMPLES_PER_DIGIT: Final = 8
"""Number of images to keep per predicted digit."""

MAX_CONFUSED: Final = 6
"""Number of wrong images to keep per cell of the confusion matrix."""


@dataclasses.dataclass(frozen=True)
class KeptImage:
    """A scored image with the pixels the model saw."""

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
    """Return an image's pseudo-random rank in [0, 2^32), from its URI. The lowest ranks form the sample."""
    return zlib.crc32(image.encode(errors="surrogatepass"))


def _rest(kept: KeptImage) -> tuple[str, int, int, int, str]:
    # Compare all fields, so that the result does not depend on the order of the images.
    return kept.image, kept.digit, kept.second_digit, kept.label, kept.png


def least_confident(images: Iterable[KeptImage]) -> tuple[KeptImage, ...]:
    """Return the least confident images, least confident first."""
    return tuple(sorted(images, key=lambda kept: (kept.confidence, *_rest(kept)))[:MAX_DOUBTFUL])


def most_confident(images: Iterable[KeptImage]) -> tuple[KeptImage, ...]:
    """Return the most confident images, most confident first."""
    return tuple(sorted(images, key=lambda kept: (-kept.confidence, *_rest(kept)))[:MAX_MISTAKEN])


def sample_per_digit(images: Iterable[KeptImage]) -> tuple[KeptImage, ...]:
    """Return a sample of the images of each predicted digit, sorted by digit."""
    ranked = sorted(
        images, key=lambda kept: (kept.digit, sample_rank(kept.image), *_rest(kept), kept.confidence)
    )
    rows = itertools.groupby(ranked, key=lambda kept: kept.digit)
    return tuple(kept for _, row in rows for kept in itertools.islice(row, MAX_EXAMPLES_PER_DIGIT))


def sample_per_confusion(images: Iterable[KeptImage]) -> tuple[KeptImage, ...]:
    """Return the most confident images of each pair of label and predicted digit, sorted by pair."""
    ranked = sorted(images, key=lambda kept: (kept.label, kept.digit, -kept.confidence, *_rest(kept)))
    cells = itertools.groupby(ranked, key=lambda kept: (kept.label, kept.digit))
    return tuple(kept for _, cell in cells for kept in itertools.islice(cell, MAX_CONFUSED))


def first_per_code(pictures: Iterable[FailurePicture]) -> tuple[FailurePicture, ...]:
    """Return the first picture by URI of each code."""
    least: dict[str, FailurePicture] = {}
    for picture in sorted(pictures, key=lambda picture: (picture.code, picture.image, picture.png)):
        least.setdefault(picture.code, picture)
    return tuple(least.values())
