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
        left_out: contender, recipe and images of comparisons that would take too long.
    """

    images: tuple[int, ...]
    rounds: int
    buckets: Mapping[str, int]
    recipes: tuple[str, ...] = tuple(IMAGES)
    most: int = 60_000
    left_out: frozenset[tuple[str, str, int]] = frozenset()

    def takes_part(self, contender: str, recipe: str, images: int) -> bool:
        """Whether a contender scores that many images with that network."""
        return (contender, recipe, images) not in self.left_out

    def epoch(self, recipe: str) -> int:
        """Returns the images of an epoch of a recipe."""
        return min(IMAGES[recipe], self.most)


FULL: Final = Effort(
    (10_000, 60_000),
    3,
    {"large": 5_000, "stock": 1_000, "small": 100},
    # To stay within a quarter of an hour: the smaller folder shows it too.
    left_out=frozenset({("Ray Data", recipe, 60_000) for recipe in ("dense-300-100", "small-cnn")}),
)
QUICK: Final = Effort(
    (2_000,),
    1,
    {"large": 2_000, "stock": 200, "small": 100},
    ("dense-300-100",),
    4_000,
    left_out=frozenset({("Ray Data", "small-cnn", 2_000)}),
)
