"""A uniformly random sample of a run's accepted images, for people to check.

The images whose names have the smallest keyed hashes are in it. So the sample of a run follows from its
accepted images alone, in whatever order and by however many workers they are scored.
"""

import dataclasses
import hashlib
import heapq
from collections.abc import Iterable
from typing import Final

_KEY: Final = b"digitmill audit"
"""Other hashes than those that choose a run's images, or split data."""

HEADER: Final = ("image", "generation", "digit", "confidence")
"""Columns of `audit.csv`."""


@dataclasses.dataclass(frozen=True, order=True)
class AuditedImage:
    """An accepted image of the sample; sorts by its rank."""

    rank: str
    image: str
    generation: int
    digit: int
    confidence: float

    def row(self) -> tuple[object, ...]:
        """Return the row of `audit.csv`."""
        return self.image, self.generation, self.digit, f"{self.confidence:.6f}"


@dataclasses.dataclass(frozen=True)
class AuditSample:
    """Sample of some accepted images.

    Attributes:
        size: images that the sample of the run has, if so many are accepted.
        images: no more than that, sorted by rank.
    """

    size: int
    images: tuple[AuditedImage, ...]


def audit_rank(image: str) -> str:
    """Return an image's pseudo-random rank, by its URI."""
    return hashlib.blake2b(image.encode(errors="surrogatepass"), digest_size=8, key=_KEY).hexdigest()


def merge_samples(samples: Iterable[AuditSample]) -> tuple[AuditSample, ...]:
    """Merge samples into one of all their images; empty without any."""
    found = list(samples)
    if not found:
        return ()
    size = min(sample.size for sample in found)
    images = (image for sample in found for image in sample.images)
    return (AuditSample(size, tuple(heapq.nsmallest(size, images))),)
