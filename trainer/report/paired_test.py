"""Whether two networks differ beyond chance on the same images: McNemar's exact test.

Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
Psychometrika 12 (1947). The test ignores images that both networks get right, or both get wrong. Of the
other images, equally good networks would each get half right.
"""

import base64
import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from digitmill.confidence.exact_bounds import sign_test
from digitmill.reports.numbers import fraction, thousands

SIGNIFICANT = 0.05
"""P-value below which a difference counts as more than chance."""


def pack_right(right: np.ndarray) -> str:
    """Encode bool[N], whether each image is right, as base64 text with one bit per image."""
    return base64.b64encode(np.packbits(right).tobytes()).decode()


def unpack_right(text: str, images: int) -> np.ndarray:
    """Decode the output of `pack_right`.

    Raises:
        ValueError: when the text has fewer images.
    """
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8))
    if len(bits) < images:
        raise ValueError(f"expected whether {images:,} images are right; got {len(bits):,}")
    return bits[:images].astype(bool)


@dataclasses.dataclass(frozen=True)
class PairedTest:
    """Counts of images that one of two networks gets right and the other wrong.

    Attributes:
        first: images that only the first network gets right.
        second: images that only the second network gets right.
        comparisons: number of tests made together, for the Bonferroni correction.
    """

    first: int
    second: int
    comparisons: int = 1

    @property
    def p_value(self) -> float:
        """Two-sided p-value with Bonferroni correction; the null hypothesis is equally good networks."""
        return min(1.0, sign_test(self.first, self.second) * self.comparisons)

    @property
    def significant(self) -> bool:
        """Whether the difference is more than chance."""
        return self.p_value < SIGNIFICANT

    def row(self, first: str, second: str) -> tuple[str, ...]:
        """Return the texts of a table row."""
        p = self.p_value
        text = "below 0.0001" if p < 0.0001 else fraction(p, 2)
        verdict = "beyond chance" if self.significant else "may be chance"
        return f"{first} and {second}", thousands(self.first), thousands(self.second), text, verdict


HEADER = ("pair", "only the first right", "only the second right", "p-value", "the difference")
"""Titles of the columns of `PairedTest.row`."""


def against_best(right: Mapping[str, np.ndarray], best: str) -> dict[str, PairedTest]:
    """Return the tests of the best network against each other network, by name of the other.

    Which one is best shows on the same images, so that the correction is for the tests of all pairs.
    """
    pairs = math.comb(len(right), 2)
    return {
        name: PairedTest(
            int((right[best] & ~right[name]).sum()), int((right[name] & ~right[best]).sum()), pairs
        )
        for name in right
        if name != best
    }
