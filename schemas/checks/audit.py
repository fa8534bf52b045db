"""The audit of a run: how many of a random sample of its accepted images are wrong, as people have seen."""

import dataclasses
import enum

from schemas.versioned import VersionedRecord

FILE = "audit.json"
"""Its name in the run's output folder; `digitmill audit` writes it after the run."""

FORMAT = 1
"""Version of the format; readers refuse others."""


class Verdict(enum.StrEnum):
    """What an audit says about the promise of a bundle."""

    KEPT = "kept"
    BROKEN = "broken"
    UNDECIDED = "undecided"
    NO_PROMISE = "no promise"


@dataclasses.dataclass(frozen=True)
class Audit(VersionedRecord, what="an audit", format=FORMAT):
    """What people have found among the accepted images of a run.

    Attributes:
        run: SHA-256 of the run's manifest.
        accepted: images that the run has accepted.
        sampled: those of them that were drawn.
        labeled: those of the sample that people have labeled.
        wrong: of these, those with another digit, or without any.
        not_digits: of these, those without any.
        error_rate: share of wrong ones among the labeled; None without any.
        interval_95: exact interval of the share among all accepted.
        target: accuracy that the bundle promises of accepted images; None where it promises none.
        verdict: one of `Verdict`.
    """

    run: str
    accepted: int
    sampled: int
    labeled: int
    wrong: int
    not_digits: int
    error_rate: float | None
    interval_95: tuple[float, float]
    target: float | None
    verdict: str

    def __post_init__(self) -> None:
        if not 0 <= self.not_digits <= self.wrong <= self.labeled <= self.sampled <= self.accepted:
            raise ValueError(
                f"{self.not_digits} no digits, {self.wrong} wrong, {self.labeled} labeled, {self.sampled} "
                f"sampled, {self.accepted} accepted: too many"
            )
