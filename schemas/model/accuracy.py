"""Accuracy with its confidence interval."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Final, Self

Z_95: Final = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a proportion, each bound within [0, 1].

    Implemented here so that workers need no SciPy; the tests compare it with
    `scipy.stats.binomtest(...).proportion_ci("wilson")`.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    JASA 22 (1927).

    Raises:
        ValueError: unless 0 <= successes <= trials and trials > 0.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"0 <= successes <= trials and trials > 0; got {successes} of {trials}")
    share = successes / trials
    spread = Z_95**2 / trials
    center = (share + spread / 2) / (1 + spread)
    half = Z_95 / (1 + spread) * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    # Rounding could move a bound past the proportion at 0 and at 1.
    return max(0.0, min(share, center - half)), min(1.0, max(share, center + half))


def percent(share: float) -> str:
    """Return a share in [0, 1] as text with two decimals: `98.18 %`."""
    return f"{100 * share:.2f} %"


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Share of images with the right digit, and its 95 % Wilson interval."""

    right: int
    images: int

    def __post_init__(self) -> None:
        wilson(self.right, self.images)

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """Return the accuracy from JSON data. Extra fields, such as the interval, are ignored."""
        return cls(fields["right"], fields["images"])

    @property
    def value(self) -> float:
        """The accuracy, in [0, 1]."""
        return self.right / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of `value`."""
        return wilson(self.right, self.images)

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{percent(self.value)} (95 % interval {percent(low)} to {percent(high)}, "
            f"{self.right:,} of {self.images:,})"
        )
