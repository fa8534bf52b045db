"""A model against its challenger: who is right where they differ, and whether that is more than chance."""

import dataclasses
from collections.abc import Iterable
from typing import Self

from digitmill.reports.numbers import thousands
from pipelines.statistics.agreement import Agreement
from schemas.model.accuracy import wilson


@dataclasses.dataclass(frozen=True)
class Duel:
    """Labelled images by who was right.

    Attributes:
        both: both were.
        model: the model alone.
        challenger: the challenger alone.
        neither: none was.
    """

    both: int
    model: int
    challenger: int
    neither: int

    @classmethod
    def of(cls, cells: Iterable[Agreement]) -> Self:
        """Counts from pairs of digits."""
        both = model = challenger = neither = 0
        for cell in cells:
            if cell.digit == cell.challenger_digit:
                both += cell.right
                neither += cell.labelled - cell.right
            else:
                model += cell.right
                challenger += cell.challenger_right
                neither += cell.labelled - cell.right - cell.challenger_right
        return cls(both, model, challenger, neither)

    @property
    def labelled(self) -> int:
        """All of them."""
        return self.both + self.model + self.challenger + self.neither

    def sentence(self) -> str:
        """Returns who is better, if that can be told: of alike models each wins half of the differences."""
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
