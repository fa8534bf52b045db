"""How much is measured: all of it, or enough within minutes to see that all of it works."""

import dataclasses
from collections.abc import Mapping
from typing import Final

from benchmarks.training import IMAGES


@dataclasses.dataclass(frozen=True)
class Effort:
    """Numbers of images and rounds.

    Attributes:
        images: of the folders to score, ascending.
        rounds: how often everybody has a turn.
        buckets: images of `benchmarks.buckets.buckets`.
        recipes: networks to train.
        most: images of an epoch at most.
    """

    images: tuple[int, ...]
    rounds: int
    buckets: Mapping[str, int]
    recipes: tuple[str, ...] = tuple(IMAGES)
    most: int = 60_000

    def epoch(self, recipe: str) -> int:
        """Returns the images of an epoch of a recipe."""
        return min(IMAGES[recipe], self.most)


FULL: Final = Effort((10_000, 60_000), 3, {"large": 10_000, "stock": 1_000, "small": 100})
QUICK: Final = Effort((2_000,), 1, {"large": 2_000, "stock": 200, "small": 100}, ("dense-300-100",), 4_000)
