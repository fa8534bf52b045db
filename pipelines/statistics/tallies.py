"""Counts of images by folder and digit."""

import dataclasses
import math
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Tally:
    """Images of one folder that were given one digit.

    Attributes:
        folder: URI of the folder.
        digit: the digit.
        images: how many.
        confidence: sum of the confidences.
        accepted: those decided `accept`.
        labelled: those whose label is known.
        right: those whose label is the digit.
    """

    folder: str
    digit: int
    images: int
    confidence: float
    accepted: int = 0
    labelled: int = 0
    right: int = 0


def merge_tallies(tallies: Iterable[Tally]) -> tuple[Tally, ...]:
    """Adds up by folder and digit, and returns the sums in that order; the same in any order."""
    grouped: dict[tuple[str, int], list[Tally]] = {}
    for tally in tallies:
        grouped.setdefault((tally.folder, tally.digit), []).append(tally)
    return tuple(total(group, folder=key[0], digit=key[1]) for key, group in sorted(grouped.items()))


def total(tallies: Iterable[Tally], *, folder: str = "", digit: int = -1) -> Tally:
    """Returns the sum of tallies under a name of its own."""
    group = list(tallies)
    return Tally(
        folder,
        digit,
        images=sum(tally.images for tally in group),
        # Does not round in between, so that the order does not matter.
        confidence=math.fsum(tally.confidence for tally in group),
        accepted=sum(tally.accepted for tally in group),
        labelled=sum(tally.labelled for tally in group),
        right=sum(tally.right for tally in group),
    )
