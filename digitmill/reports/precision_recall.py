"""Metrics of a confusion matrix: precision, recall and F1 of each class, and the most frequent mistake."""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassRates:
    """Counts of one class, and its rates.

    Attributes:
        taken: labeled images predicted as this class.
        labeled: images labeled as this class.
        right: images both labeled and predicted as this class.
    """

    taken: int
    labeled: int
    right: int

    @property
    def precision(self) -> float | None:
        """Share of the images predicted as this class that belong to it."""
        return self.right / self.taken if self.taken else None

    @property
    def recall(self) -> float | None:
        """Share of the images of this class that are predicted as it."""
        return self.right / self.labeled if self.labeled else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; 0 where both are 0."""
        if not self.taken + self.labeled:
            return None
        return 2 * self.right / (self.taken + self.labeled)


def class_rates(confusion: Sequence[Sequence[int]]) -> list[ClassRates]:
    """Return the rates of every class, from a confusion matrix by label (row) and prediction (column)."""
    return [
        ClassRates(taken=sum(row[place] for row in confusion), labeled=sum(labeled), right=labeled[place])
        for place, labeled in enumerate(confusion)
    ]


def most_frequent_mistake(confusion: Sequence[Sequence[int]]) -> tuple[int, int, int] | None:
    """Return the label and prediction that are confused most often, and how often; None without mistakes."""
    wrong = [
        (label, predicted, count)
        for label, row in enumerate(confusion)
        for predicted, count in enumerate(row)
        if label != predicted and count
    ]
    return max(wrong, key=lambda cell: cell[2], default=None)
