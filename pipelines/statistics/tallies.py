"""Counts of scored images by folder and predicted digit."""

import dataclasses
from collections.abc import Iterable

from pipelines.statistics.totals import add_up


@dataclasses.dataclass(frozen=True)
class Tally:
    """Counts of the images of one folder with one predicted digit.

    Attributes:
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


def sum_tallies(tallies: Iterable[Tally]) -> Tally:
    """Return the sum of tallies of any folders and digits, under no folder and no digit."""
    nowhere = [dataclasses.replace(tally, folder="", digit=-1) for tally in tallies]
    (whole,) = add_up([Tally("", -1, 0, 0.0), *nowhere], keys=2)
    return whole
