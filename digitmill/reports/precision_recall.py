"""How well each class is told: precision, recall, F1."""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassRates:
    """How well one class is told.

    Attributes:
        taken: labelled images taken for it.
        labelled: images whose label it is.
        right: of these taken for it.
    """

    taken: int
    labelled: int
    right: int

    @property
    def precision(self) -> float | None:
        """Share of what was taken for it that is it."""
        return self.right / self.taken if self.taken else None

    @property
    def recall(self) -> float | None:
        """Share of it that was taken for it."""
        return self.right / self.labelled if self.labelled else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; 0 where both are."""
        if not self.taken + self.labelled:
            return None
        return 2 * self.right / (self.taken + self.labelled)


def class_rates(confusion: Sequence[Sequence[int]]) -> list[ClassRates]:
    """Returns the rates of every class of a square matrix of images by label (row) and answer (column)."""
    return [
        ClassRates(taken=sum(row[place] for row in confusion), labelled=sum(labelled), right=labelled[place])
        for place, labelled in enumerate(confusion)
    ]
