"""Compares a model with its challenger on labeled images: a sign test on those that only one has right."""

import dataclasses
from collections.abc import Iterable
from typing import Self

from digitmill.reports.numbers import thousands
from pipelines.statistics.agreement import Agreement
from schemas.model.accuracy import wilson


@dataclasses.dataclass(frozen=True)
class ChallengerComparison:
    """Labeled images by which of the two models is right: both, only one of them, or neither."""

    both: int
    model: int
    challenger: int
    neither: int

    @classmethod
    def of(cls, cells: Iterable[Agreement]) -> Self:
        """Count images from the pairs of digits that the models gave."""
        both = model = challenger = neither = 0
        for cell in cells:
            if cell.digit == cell.challenger_digit:
                both += cell.right
                neither += cell.labeled - cell.right
            else:
                model += cell.right
                challenger += cell.challenger_right
                neither += cell.labeled - cell.right - cell.challenger_right
        return cls(both, model, challenger, neither)

    @property
    def labeled(self) -> int:
        """All labeled images."""
        return self.both + self.model + self.challenger + self.neither

    def verdict(self) -> str:
        """Return a sentence that says which model is better, if the difference is significant.

        Equally good models would each win half of the images that only one of them has right.
        """
        decided = self.model + self.challenger
        if not decided:
            return "Where labels are known, neither is right where the other is wrong."
        score = f"{thousands(self.challenger)} to {thousands(self.model)}"
        low, high = wilson(self.challenger, decided)
        how, why = "it stands", "it may be chance"
        if low > 0.5 or high < 0.5:
            how = "the challenger wins" if low > 0.5 else "the challenger loses"
            why = "more than chance would give"
        return f"Where one is right and the other wrong, {how} {score}: {why}."
