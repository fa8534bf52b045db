"""Counts of scored images by folder and predicted digit."""

import dataclasses
import math
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Tally:
    """Counts of the images of one folder with one predicted digit.

    Attributes:
        folder: URI of the folder.
        digit: the predicted digit.
        images: number of images.
        confidence: sum of their confidences.
        accepted: images decided `accept`.
        labelled: images whose label is known.
        right: images whose label is the digit.
    """

    folder: str
    digit: int
    images: int
    confidence: float
    accepted: int = 0
    labelled: int = 0
    right: int = 0

    @property
    def mean_confidence(self) -> float | None:
        """Mean confidence in [0, 1]; None where there are no images."""
        return self.confidence / self.images if self.images else None

    @property
    def review(self) -> int:
        """Images decided `review`."""
        return self.images - self.accepted

    @property
    def wrong(self) -> int:
        """Labelled images whose label is another digit."""
        return self.labelled - self.right


def merge_tallies(tallies: Iterable[Tally]) -> tuple[Tally, ...]:
    """Adds up tallies by folder and digit, sorted by both; the order of the input does not matter."""
    grouped: dict[tuple[str, int], list[Tally]] = {}
    for tally in tallies:
        grouped.setdefault((tally.folder, tally.digit), []).append(tally)
    return tuple(sum_tallies(group, folder=key[0], digit=key[1]) for key, group in sorted(grouped.items()))


def sum_tallies(tallies: Iterable[Tally], *, folder: str = "", digit: int = -1) -> Tally:
    """Returns the sum of tallies, under the given folder and digit."""
    group = list(tallies)
    return Tally(
        folder,
        digit,
        images=sum(tally.images for tally in group),
        # Exact until the end, so that the order does not matter.
        confidence=math.fsum(tally.confidence for tally in group),
        accepted=sum(tally.accepted for tally in group),
        labelled=sum(tally.labelled for tally in group),
        right=sum(tally.right for tally in group),
    )
