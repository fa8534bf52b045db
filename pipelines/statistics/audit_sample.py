"""A uniformly random sample of a run's accepted images, for people to check.

The sample consists of the images with the smallest keyed hashes of their names. It therefore depends only on
the set of accepted images, not on the order of scoring or the number of workers.
"""

import dataclasses
import hashlib
import heapq
from collections.abc import Iterable
from typing import Final

_KEY: Final = b"digitmill audit"
"""Key that makes these hashes independent of those that choose a run's images or split data."""

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
        size: target size of the run's sample.
        images: at most `size` images, sorted by rank.
    """

    size: int
    images: tuple[AuditedImage, ...]


def audit_rank(image: str) -> str:
    """Return an image's pseudo-random rank, computed from its URI."""
    return hashlib.blake2b(image.encode(errors="surrogatepass"), digest_size=8, key=_KEY).hexdigest()


def merge_samples(samples: Iterable[AuditSample]) -> tuple[AuditSample, ...]:
    """Merge samples into one sample of all their images; return an empty tuple without samples."""
    found = list(samples)
    if not found:
        return ()
    size = min(sample.size for sample in found)
    images = (image for sample in found for image in sample.images)
    return (AuditSample(size, tuple(heapq.nsmallest(size, images))),)
