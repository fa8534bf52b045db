"""Counts of images by confidence, in bins that are fine enough near 1 to evaluate any accept threshold."""

import dataclasses
from typing import Final

import numpy as np

RELIABILITY_BINS: Final = 20
"""Number of equal-width bins over [0, 1] that compare confidence with accuracy."""

_DECADES: Final = 5
_STEPS: Final = 45

EDGES: Final = (
    *(step / 100 for step in range(90)),
    *(
        round(1 - 10**-tenth + step * 0.9 * 10**-tenth / _STEPS, 10)
        for tenth in range(1, _DECADES + 1)
        for step in range(_STEPS)
    ),
)
"""Lower edges of the bins: hundredths up to 0.9, then 45 steps in each tenth of the remaining distance to 1.

A good model gives most images a confidence above 0.999, which bins of equal width could not resolve.
"""

_FLOAT32_EDGES: Final = np.array(EDGES, np.float32)
_NONE: Final = (0,) * len(EDGES)
_NO_RELIABILITY: Final = (0,) * RELIABILITY_BINS


@dataclasses.dataclass(frozen=True)
class ConfidenceCounts:
    """Scored images by confidence.

    Attributes:
        images: all images, by bin of `EDGES`.
        labeled: images whose label is known, by bin of `EDGES`.
        right: images with the right digit, by bin of `EDGES`.
        bin_labeled: images whose label is known, by bin of `RELIABILITY_BINS`.
        bin_right: images with the right digit, by bin of `RELIABILITY_BINS`.
        bin_confidence: sum of the labeled images' confidences, by bin of `RELIABILITY_BINS`.
    """

    images: tuple[int, ...] = _NONE
    labeled: tuple[int, ...] = _NONE
    right: tuple[int, ...] = _NONE
    bin_labeled: tuple[int, ...] = _NO_RELIABILITY
    bin_right: tuple[int, ...] = _NO_RELIABILITY
    bin_confidence: tuple[float, ...] = (0.0,) * RELIABILITY_BINS


def count_confidences(confidence: np.ndarray, *, known: np.ndarray, right: np.ndarray) -> ConfidenceCounts:
    """Count images by confidence.

    Args:
        confidence: float32[N] in [0, 1].
        known: bool[N], whether the label is known.
        right: bool[N], whether the label is the predicted digit; false if the label is unknown.
    """
    fine = np.searchsorted(_FLOAT32_EDGES, confidence, side="right") - 1
    coarse = np.minimum((confidence * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
    sums = np.bincount(coarse[known], weights=confidence[known], minlength=RELIABILITY_BINS)
    return ConfidenceCounts(
        images=_counted(fine, len(EDGES)),
        labeled=_counted(fine[known], len(EDGES)),
        right=_counted(fine[right], len(EDGES)),
        bin_labeled=_counted(coarse[known], RELIABILITY_BINS),
        bin_right=_counted(coarse[right], RELIABILITY_BINS),
        bin_confidence=tuple(sums.tolist()),
    )


def _counted(bins: np.ndarray, size: int) -> tuple[int, ...]:
    return tuple(np.bincount(bins, minlength=size).tolist())
