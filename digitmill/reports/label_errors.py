"""Likely label errors: wrong predictions of which a model is as sure as of right ones.

Confident learning: C. G. Northcutt, L. Jiang, I. L. Chuang, "Confident Learning: Estimating Uncertainty in
Dataset Labels", JAIR 70 (2021), https://arxiv.org/abs/1911.00068. The threshold of each digit is its mean
probability on images with that label. An image counts as mislabeled if another digit reaches its threshold
(off the diagonal of the confident joint), and may be mislabeled if the probability of its label is below the
label's threshold. The model must not have been trained on the images.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final, Protocol, Self, TypeVar

from digitmill.reports.numbers import thousands
from schemas.digit import CLASSES

TITLE: Final = "Likely label errors"


class Answer(Protocol):
    """A prediction and the label to compare it with."""

    @property
    def label(self) -> int:
        """The label of the image."""

    @property
    def digit(self) -> int:
        """The most probable digit."""

    @property
    def confidence(self) -> float:
        """Probability of the most probable digit."""


A = TypeVar("A", bound=Answer)


@dataclasses.dataclass(frozen=True)
class SelfConfidence:
    """By digit, a model's mean probability of the digit on the images with that label.

    Attributes:
        means: in [0, 1]; 1 for a digit without images, and for records of versions without these sums.
    """

    means: tuple[float, ...]

    @classmethod
    def of(cls, sums: Iterable[float], images: Iterable[int]) -> Self:
        """Compute the means from sums of probabilities and numbers of images, by digit."""
        means = (total / count if count and total else 1.0 for total, count in zip(sums, images, strict=True))
        return cls(tuple(means))

    def __post_init__(self) -> None:
        if len(self.means) != CLASSES:
            raise ValueError(f"expected means of {CLASSES} digits; got {len(self.means)}")

    def is_error(self, answer: Answer) -> bool:
        """Whether a wrong prediction is as sure as right ones on average, so the label is likely wrong."""
        return answer.confidence >= self.means[answer.digit]

    def rank(self, answers: Iterable[A]) -> list[A]:
        """Return the wrong predictions whose labels may be wrong, likeliest label errors first."""
        # The label's probability is at most 1 - confidence.
        doubted = [
            each
            for each in answers
            if each.label != each.digit and 1 - each.confidence < self.means[each.label]
        ]
        return sorted(doubted, key=lambda each: (not self.is_error(each), -each.confidence))

    def reading(self, ranked: Sequence[Answer]) -> str:
        """Return the sentences that explain a gallery of ranked predictions."""
        words = "The surest of the wrong answers: the label may be wrong, or the model."
        errors = sum(map(self.is_error, ranked))
        if not errors:
            return words
        first = "first" if errors == 1 else f"first {thousands(errors)}"
        return f"{words} Of the {first} it is as sure as, on average, of images that do show its digit."
