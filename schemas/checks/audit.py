"""The audit of a run: how many accepted images of a random sample people found to be wrong."""

import dataclasses
import enum

from schemas.versioned import VersionedRecord

FILE = "audit.json"
"""Name of the audit in the run's output folder; `digitmill audit` writes it after the run."""

FORMAT = 1
"""Version of the format; readers refuse others."""


class Verdict(enum.StrEnum):
    """What an audit says about the guarantee of a bundle."""

    KEPT = "kept"
    BROKEN = "broken"
    UNDECIDED = "undecided"
    NO_PROMISE = "no promise"


@dataclasses.dataclass(frozen=True)
class Audit(VersionedRecord, what="an audit", format=FORMAT):
    """What people found among the accepted images of a run.

    Attributes:
        run: SHA-256 of the run's manifest.
        accepted: number of images that the run accepted.
        sampled: number of accepted images in the sample.
        labeled: number of sampled images that people have labeled.
        wrong: number of labeled images that show another digit, or none.
        not_digits: number of labeled images that show no digit.
        error_rate: share of the labeled images that are wrong; None if none is labeled.
        interval_95: exact 95 % interval of the error rate among all accepted images.
        target: accuracy that the bundle guarantees for accepted images; None if it guarantees none.
        verdict: one of `Verdict`.
        promise: model and threshold that the target is about; empty without a target, and in audits of
            earlier versions.
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
    promise: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.not_digits <= self.wrong <= self.labeled <= self.sampled <= self.accepted:
            raise ValueError(
                f"{self.not_digits} no digits, {self.wrong} wrong, {self.labeled} labeled, {self.sampled} "
                f"sampled, {self.accepted} accepted: too many"
            )
