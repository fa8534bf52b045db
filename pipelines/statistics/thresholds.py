"""Counts of images by confidence, in bins fine enough near 1 to evaluate any accept threshold."""

import dataclasses
from typing import Final

import numpy as np

RELIABILITY_BINS: Final = 20
"""Bins of equal width over [0, 1] in which confidence is compared with accuracy."""

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

A good model gives most images more than 0.999, where bins of equal width would not distinguish them.
"""

_FLOAT32_EDGES: Final = np.array(EDGES, np.float32)
_NONE: Final = (0,) * len(EDGES)
_NO_RELIABILITY: Final = (0,) * RELIABILITY_BINS


@dataclasses.dataclass(frozen=True)
class ConfidenceCounts:
    """Scored images by confidence.

    Attributes:
        images: by bin of `EDGES`.
        labeled: those whose label is known.
        right: those with the right digit.
        bin_labeled: images whose label is known, by bin of `RELIABILITY_BINS`.
        bin_right: those with the right digit.
        bin_confidence: sum of the confidences of the labeled ones.
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
        right: bool[N], whether the label is the predicted digit; false where it is not known.
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
