"""The errors among accepted images that the audits of several runs have found, in words."""

import dataclasses
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
"""What the verdict of one audit means."""


@dataclasses.dataclass(frozen=True)
class RunningAudit:
    """The audits of runs, summed up.

    Attributes:
        runs: number of runs with labeled images.
        total: of all of them.
        promised: of the last ones, whose models promise the same.
    """

    runs: int
    total: Audit
    promised: Audit

    @classmethod
    def of(cls, audits: Sequence[Audit]) -> Self | None:
        """Sum up audits, oldest first; None where no image is labeled."""
        labeled = [each for each in audits if each.labeled]
        if not labeled:
            return None
        from digitmill.confidence.audits import sum_audits  # SciPy, which most runs have no need of

        last = labeled[-1].target
        promised = [each for each in labeled if each.target == last]
        return cls(len(labeled), sum_audits(labeled), sum_audits(promised))

    @property
    def broken(self) -> bool:
        """Whether the last promise is broken."""
        return self.promised.verdict == Verdict.BROKEN

    def fact(self, *, of: str = "") -> tuple[str, str, str]:
        """Return name, value and note of the fact; `of` is a word about the runs."""
        found, (low, high) = self.total, self.total.interval_95
        runs = f"{thousands(self.runs)} {of} run".replace("  ", " ") + ("s" if self.runs != 1 else "")
        note = (
            f"{thousands(found.wrong)} of {thousands(found.labeled)} audited images of {runs}; "
            f"95\N{NO-BREAK SPACE}% interval {share(low)} to {share(high)}"
        )
        return "Accepted but wrong", share(found.error_rate), note

    def sentence(self) -> str:
        """Return what the audits say about the promise."""
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
