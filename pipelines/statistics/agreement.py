"""Counts where a model and its challenger agree, and selects the worst disagreements."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from schemas.digit import CLASSES
from schemas.prediction import NO_LABEL

MAX_DISAGREEMENTS: Final = 24
"""Maximum number of disagreements whose pixels a run keeps."""

AGREEMENT_HEADER = ("digit", "challenger_digit", "images", "labeled", "right", "challenger_right")
"""Columns of `agreement.csv`; challenger_digit is empty if the challenger could not score the image."""


@dataclasses.dataclass(frozen=True, order=True)
class Agreement:
    """Counts of the images with one pair of predicted digits.

    Attributes:
        digit: the model's digit.
        challenger_digit: the challenger's digit; `NO_LABEL` if it could not score the image.
        labeled: images whose label is known.
        right: images whose label is the model's digit.
        challenger_right: images whose label is the challenger's digit.
    """

    digit: int
    challenger_digit: int
    images: int
    labeled: int
    right: int
    challenger_right: int


@dataclasses.dataclass(frozen=True)
class Disagreement:
    """An image on which the two models differ, with the pixels they saw."""

    image: str
    digit: int
    confidence: float
    challenger_digit: int
    challenger_confidence: float
    label: int
    png: str
    """The canonical digit as a PNG, base64."""


def count_agreements(
    digits: np.ndarray, challenger_digits: np.ndarray, *, labels: np.ndarray
) -> tuple[Agreement, ...]:
    """Count images by pair of digits, sorted; return an empty tuple without a challenger.

    Args:
        digits: int64[N], predicted by the model.
        challenger_digits: int64[N], predicted by the challenger; `NO_LABEL` without a prediction.
        labels: int64[N]; `NO_LABEL` if unknown.
    """
    if not (challenger_digits != NO_LABEL).any():
        return ()
    # NO_LABEL is -1: column 0 stands for no prediction.
    pairs = digits * (CLASSES + 1) + challenger_digits + 1
    counts = (
        np.bincount(pairs, weights=counted, minlength=CLASSES * (CLASSES + 1)).astype(np.int64).tolist()
        for counted in (
            np.ones_like(labels),
            labels != NO_LABEL,
            labels == digits,
            (labels == challenger_digits) & (labels != NO_LABEL),
        )
    )
    return tuple(
        Agreement(pair // (CLASSES + 1), pair % (CLASSES + 1) - 1, *row)
        for pair, row in enumerate(zip(*counts, strict=True))
        if row[0]
    )


def worst_disagreements(images: Iterable[Disagreement]) -> tuple[Disagreement, ...]:
    """Return the worst disagreements, worst first: those whose less confident model is most confident."""
    return tuple(sorted(images, key=_severity_key)[:MAX_DISAGREEMENTS])


def agreement_rows(cells: Iterable[Agreement]) -> Iterator[Sequence[object]]:
    """Yield the rows of `agreement.csv`."""
    for cell in cells:
        digit, challenger_digit, *counts = dataclasses.astuple(cell)
        yield (digit, "" if challenger_digit == NO_LABEL else challenger_digit, *counts)


def _severity_key(image: Disagreement) -> tuple[float, str]:
    return -min(image.confidence, image.challenger_confidence), image.image
