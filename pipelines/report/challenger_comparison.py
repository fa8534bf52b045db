"""Compares a model with its challenger: a sign test on the labeled images that only one gets right."""

import dataclasses
from collections.abc import Iterable
from typing import Final, Self

from digitmill.reports.numbers import thousands
from pipelines.statistics.agreement import Agreement

SIGNIFICANT: Final = 0.05
"""P-value below which a difference counts as more than chance."""


@dataclasses.dataclass(frozen=True)
class ChallengerComparison:
    """Counts of labeled images on which both models are right, only one is, or neither."""

    both: int
    model: int
    challenger: int
    neither: int

    @classmethod
    def of(cls, cells: Iterable[Agreement]) -> Self:
        """Count images from the models' pairs of predicted digits."""
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
        """Number of labeled images."""
        return self.both + self.model + self.challenger + self.neither

    def verdict(self) -> str:
        """Return a sentence on which model is better, if the difference is significant.

        Null hypothesis: of the images that only one model gets right, each model gets half.
        """
        decided = self.model + self.challenger
        if not decided:
            return "Where labels are known, neither is right where the other is wrong."
        score = f"{thousands(self.challenger)} to {thousands(self.model)}"
        from digitmill.confidence.exact_bounds import sign_test  # imports SciPy, which most runs do not need

        how, why = "it stands", "it may be chance"
        if sign_test(self.challenger, self.model) < SIGNIFICANT:
            how = "the challenger wins" if self.challenger > self.model else "the challenger loses"
            why = "more than chance would give"
        return f"Where one is right and the other wrong, {how} {score}: {why}."
