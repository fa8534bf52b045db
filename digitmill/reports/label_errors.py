"""Likely label errors: wrong answers of which a model is as sure as of right ones.

Confident learning: C. G. Northcutt, L. Jiang, I. L. Chuang, "Confident Learning: Estimating Uncertainty in
Dataset Labels", JAIR 70 (2021), https://arxiv.org/abs/1911.00068. For each digit, the mean of the
probabilities that it gets on its own images is a threshold. An image counts as mislabeled where another
digit reaches its threshold (the confident joint, off its diagonal), and may be mislabeled where the
probability of its label is below the label's threshold. The model must not have been trained on the images.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final, Protocol, Self, TypeVar

from digitmill.reports.numbers import thousands
from schemas.digit import CLASSES

TITLE: Final = "Likely label errors"


class Answer(Protocol):
    """A prediction, and the label that it is held against."""

    @property
    def label(self) -> int:
        """The label."""

    @property
    def digit(self) -> int:
        """The most probable digit."""

    @property
    def confidence(self) -> float:
        """Its probability."""


A = TypeVar("A", bound=Answer)


@dataclasses.dataclass(frozen=True)
class SelfConfidence:
    """By digit, the mean probability that a model gives it on the images that are labeled so.

    Attributes:
        means: in [0, 1]; 1 for a digit without images, and in records of versions that kept no sums.
    """

    means: tuple[float, ...]

    @classmethod
    def of(cls, sums: Iterable[float], images: Iterable[int]) -> Self:
        """Return the means from sums and numbers of images, by digit."""
        means = (total / count if count and total else 1.0 for total, count in zip(sums, images, strict=True))
        return cls(tuple(means))

    def __post_init__(self) -> None:
        if len(self.means) != CLASSES:
            raise ValueError(f"expected means of {CLASSES} digits; got {len(self.means)}")

    def is_error(self, answer: Answer) -> bool:
        """Whether a wrong answer is as sure as right ones are on average, so that the label is in error."""
        return answer.confidence >= self.means[answer.digit]

    def rank(self, answers: Iterable[A]) -> list[A]:
        """Return the wrong answers whose labels may be in error, the likeliest errors first."""
        # The probability of the label is at most what the answer leaves.
        doubted = [
            each
            for each in answers
            if each.label != each.digit and 1 - each.confidence < self.means[each.label]
        ]
        return sorted(doubted, key=lambda each: (not self.is_error(each), -each.confidence))

    def reading(self, ranked: Sequence[Answer]) -> str:
        """Return the sentences that explain a gallery of ranked answers."""
        words = "The surest of the wrong answers: the label may be wrong, or the model."
        errors = sum(map(self.is_error, ranked))
        if not errors:
            return words
        first = "first" if errors == 1 else f"first {thousands(errors)}"
        return f"{words} Of the {first} it is as sure as, on average, of images that do show its digit."
