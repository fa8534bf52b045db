"""Describes in words the errors that audits of several runs found among accepted images."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Final, Self

from digitmill.reports.numbers import share, thousands
from schemas.checks.audit import Audit, Verdict
from schemas.model.accuracy import percent

VERDICTS: Final = {
    Verdict.KEPT: "kept: so few errors show it",
    Verdict.BROKEN: "broken: more are wrong than chance explains",
    Verdict.UNDECIDED: "not contradicted; more labels would be needed to show it",
    Verdict.NO_PROMISE: "the model makes none; `digitmill calibrate` makes one that does",
}
"""Meaning of each audit verdict."""


@dataclasses.dataclass(frozen=True)
class RunningAudit:
    """The sum of several runs' audits.

    Attributes:
        runs: number of runs with labeled images.
        total: audit over all of these runs.
        promised: audit over the latest runs that accepted by the same model and threshold as the last one.
    """

    runs: int
    total: Audit
    promised: Audit

    @classmethod
    def of(cls, audits: Sequence[Audit]) -> Self | None:
        """Sum up audits, oldest first; None if no image is labeled."""
        labeled = [each for each in audits if each.labeled]
        if not labeled:
            return None
        from digitmill.confidence.audits import sum_audits  # imports SciPy, which most runs do not need

        last = labeled[-1].target, labeled[-1].promise
        promised = itertools.takewhile(lambda each: (each.target, each.promise) == last, reversed(labeled))
        return cls(len(labeled), sum_audits(labeled), sum_audits([*promised]))

    @property
    def broken(self) -> bool:
        """Whether the latest guarantee is broken."""
        return self.promised.verdict == Verdict.BROKEN

    def fact(self, *, of: str = "") -> tuple[str, str, str]:
        """Return name, value and note of the figure for the page; `of` is a word about the runs."""
        found, (low, high) = self.total, self.total.interval_95
        runs = f"{thousands(self.runs)} {of} run".replace("  ", " ") + ("s" if self.runs != 1 else "")
        note = (
            f"{thousands(found.wrong)} of {thousands(found.labeled)} audited images of {runs}; "
            f"95\N{NO-BREAK SPACE}% interval {share(low)} to {share(high)}"
        )
        return "Accepted but wrong", share(found.error_rate), note

    def sentence(self) -> str:
        """Return a sentence on what the audits say about the guarantee."""
        found = self.promised
        if found.target is None:
            return "The model promises nothing of accepted images: digitmill calibrate makes one that does."
        words = {
            Verdict.KEPT: "is kept: so few of the audited images are wrong that they show it",
            Verdict.BROKEN: "is broken: more of the audited images are wrong than chance explains",
            Verdict.UNDECIDED: "is not contradicted by the audited images, nor shown by them yet",
        }[Verdict(found.verdict)]
        return (
            f"The promise that at most {percent(1 - found.target)} of the accepted images are wrong {words}."
        )
