"""A uniformly random sample of a run's accepted images, for people to check.

The sample consists of the images with the smallest keyed hashes of their names. It therefore depends only on
the set of accepted images and on the model, not on the order of scoring or the number of workers. Another
model draws other images: it may have been trained on those that people labeled for the audit of the last one.
"""

import dataclasses
import hashlib
import heapq
from collections.abc import Iterable
from typing import Final, NamedTuple

_PERSON: Final = b"digitmill audit"
"""Makes these hashes independent of those that choose a run's images or split data."""

HEADER: Final = ("image", "generation", "digit", "confidence")
"""Columns of `audit.csv`."""


class AuditDraw(NamedTuple):
    """How a run draws its sample.

    Attributes:
        size: target size of the sample.
        model: digest of the model that accepted the images.
    """

    size: int
    model: str


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


def audit_rank(image: str, model: str) -> str:
    """Return an image's pseudo-random rank, computed from its URI and the digest of a model."""
    named = f"{model} {image}".encode(errors="surrogatepass")
    return hashlib.blake2b(named, digest_size=8, person=_PERSON).hexdigest()


def merge_samples(samples: Iterable[AuditSample]) -> tuple[AuditSample, ...]:
    """Merge samples into one sample of all their images; return an empty tuple without samples."""
    found = list(samples)
    if not found:
        return ()
    size = min(sample.size for sample in found)
    images = (image for sample in found for image in sample.images)
    return (AuditSample(size, tuple(heapq.nsmallest(size, images))),)
