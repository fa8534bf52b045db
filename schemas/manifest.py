"""The manifest of a scoring run: what it read, wrote and counted. A run without one is not finished."""

import builtins
import dataclasses
import enum
import hashlib
from collections.abc import Mapping
from typing import Self

from schemas.failure import FailureCode
from schemas.layout import is_inside
from schemas.model.accuracy import Accuracy
from schemas.versioned import VersionedRecord

FILE = "manifest.json"
"""Name of the manifest in the output folder; written last, atomically."""

SIGNATURE = f"{FILE}.sig"
"""Name of the signature of a signed manifest: 64 bytes, Ed25519; written before the manifest."""

FORMAT = 2
"""Version of the manifest's format; readers refuse others."""


class Status(enum.StrEnum):
    """How a finished run ended."""

    COMPLETE = "complete"
    OVER_BUDGET = "over_budget"


@dataclasses.dataclass(frozen=True)
class Counts:
    """Number of images by outcome."""

    listed: int
    scored: int
    failed: int
    skipped: int

    @property
    def reconciled(self) -> bool:
        """Whether every listed image has exactly one outcome."""
        return self.listed == self.scored + self.failed + self.skipped

    def status(self, max_failure_rate: object) -> Status:
        """Return the status of a run with these counts; a `max_failure_rate` of None allows any rate."""
        allowed = max_failure_rate if isinstance(max_failure_rate, int | float) else 1.0
        over = self.failed > allowed * (self.scored + self.failed)
        return Status.OVER_BUDGET if over else Status.COMPLETE


@dataclasses.dataclass(frozen=True)
class FieldCounts:
    """Number of fields by outcome.

    Attributes:
        accepted: decided `accept`.
        unsure: complete and valid, but decided `review`.
        incomplete: with the reason INCOMPLETE.
        invalid: with the reason INVALID.
        labeled: complete fields whose true value is known.
        right: labeled fields with the right value.
        accepted_labeled: accepted fields whose true value is known.
        accepted_right: accepted, labeled fields with the right value.
    """

    accepted: int = 0
    unsure: int = 0
    incomplete: int = 0
    invalid: int = 0
    labeled: int = 0
    right: int = 0
    accepted_labeled: int = 0
    accepted_right: int = 0

    @property
    def fields(self) -> int:
        """Number of all fields."""
        return self.accepted + self.unsure + self.incomplete + self.invalid

    @property
    def accuracy(self) -> Accuracy | None:
        """Accuracy of the values of complete fields; None if no true value is known."""
        return Accuracy(self.right, self.labeled) if self.labeled else None


@dataclasses.dataclass(frozen=True)
class Part:
    """One output file.

    Attributes:
        name: path within the output folder, with `/`.
        rows: number of records, without a header; for listings and statistics, number of images.
        bytes: size of the file.
        sha256: hexadecimal digest of the file.
    """

    name: str
    rows: int
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        if not is_inside(self.name):
            raise ValueError(f"a file outside the output: {self.name!r}")

    @classmethod
    def of(cls, name: str, data: "builtins.bytes", *, rows: int = 0) -> Self:
        """Return the description of a file."""
        return cls(name, rows=rows, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


@dataclasses.dataclass(frozen=True)
class Manifest(VersionedRecord, what="a manifest", format=FORMAT):
    """Manifest of one finished scoring run.

    Attributes:
        status: complete, or over_budget when more images failed than the run allows.
        counts: number of images by outcome; they reconcile.
        failures: number of failed images per failure code.
        labeled: number of scored images whose label is known.
        right: number of labeled images with the right digit.
        accepted: number of scored images at or above the accept threshold.
        model: path, digest, recipe and engine of the bundle.
        options: options that change what is written.
        versions: version of each library used, and of the preprocessing.
        times: when the run began; start and end of the last launcher (all UTC, ISO 8601), its pipeline's
            seconds, and the number of images that it processed.
        parts: every output file except the manifest, sorted by name.
        challenger: the same as `model` for the second model; None without one.
        agreed: number of scored images for which both models predict the same digit.
        challenger_right: number of labeled images whose label is the challenger's digit.
        command: command line of the last launcher; empty in older manifests.
        skipped_failed: number of skipped images that failed in the earlier run; the others were scored.
        ignored: number of files and archive members left out: junk, and files that the options exclude.
            They do not count as listed.
        vanished: number of folders that disappeared while they were listed.
        not_digits: number of images for review with the reason NOT_A_DIGIT.
        fields: number of fields by outcome; None for a run without fields.
        drift: the largest population stability index against the model's training set, minus its chance
            level; 0 if there is no shift, None if nothing could be compared.
        drift_from_previous: the same against the previous run.
        accepted_labeled: number of accepted images whose label is known.
        accepted_right: number of accepted, labeled images with the right digit.
        figures: the run in numbers, by the names that `--fail-on` takes: the share of accepted images, the
            accuracy and its interval, the number of failures of each code, and so on; None for an unknown
            figure. Empty in older manifests.
        launched: absolute paths of the last launcher's working `folder` and its `output`, to which links and
            commands of the report are relative; empty in older manifests.
        tripped: the gates of `--fail-on` that the run trips, each with the figure's value; None for an
            unknown value.
        audit_error: error rate among the images that the earlier runs accepted, from their audits; None
            without audits.
    """

    status: str
    counts: Counts
    failures: Mapping[str, int]
    labeled: int
    right: int
    accepted: int
    inputs: tuple[str, ...]
    model: Mapping[str, str | float]
    options: Mapping[str, str | int | float | None]
    versions: Mapping[str, str]
    times: Mapping[str, str | float]
    parts: tuple[Part, ...]
    challenger: Mapping[str, str] | None = None
    agreed: int = 0
    challenger_right: int = 0
    command: str = ""
    skipped_failed: int = 0
    ignored: int = 0
    vanished: int = 0
    not_digits: int = 0
    fields: FieldCounts | None = None
    drift: float | None = None
    drift_from_previous: float | None = None
    accepted_labeled: int = 0
    accepted_right: int = 0
    figures: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    launched: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tripped: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    audit_error: float | None = None

    def __post_init__(self) -> None:
        if self.status not in set(Status):
            raise ValueError(f"status is none of {', '.join(Status)}: {self.status!r}")
        if not self.counts.reconciled:
            raise ValueError(f"counts do not reconcile: {self.counts}")
        if set(self.failures) != set(FailureCode):
            raise ValueError(f"failures must have every code once: {sorted(self.failures)}")
        if sum(self.failures.values()) != self.counts.failed:
            raise ValueError(f"failures do not add up to {self.counts.failed}: {dict(self.failures)}")
        if not 0 <= self.right <= self.labeled <= self.counts.scored:
            raise ValueError(f"{self.right} right of {self.labeled} labeled of {self.counts.scored} scored")
        if not 0 <= self.agreed <= self.counts.scored or not 0 <= self.challenger_right <= self.labeled:
            raise ValueError(f"{self.agreed} agreed, {self.challenger_right} challenger_right: too many")
        self._check_reasons()
        if not 0 <= self.skipped_failed <= self.counts.skipped or min(self.ignored, self.vanished) < 0:
            raise ValueError(
                f"{self.skipped_failed} of {self.counts.skipped} skipped images had failed, "
                f"{self.ignored} ignored, {self.vanished} vanished: too many or too few"
            )

    def _check_reasons(self) -> None:
        if not 0 <= self.not_digits <= self.counts.scored - self.accepted:
            raise ValueError(f"{self.not_digits} of the images for review are no digit: too many or too few")
        for name in ("drift", "drift_from_previous"):
            if not (getattr(self, name) or 0) >= 0:
                raise ValueError(f"{name} is negative: {getattr(self, name)}")
        if not 0 <= self.accepted_right <= self.accepted_labeled <= min(self.accepted, self.labeled):
            raise ValueError(f"{self.accepted_right} right of {self.accepted_labeled} accepted: too many")

    @property
    def accept_threshold(self) -> float:
        """Minimum confidence of the run's accepted predictions."""
        return float(self.options["accept_threshold"] or 0)

    @property
    def accuracy(self) -> Accuracy | None:
        """Accuracy on the labeled images; None if there are none."""
        return Accuracy(self.right, self.labeled) if self.labeled else None

    @property
    def failure_rate(self) -> float:
        """Share of the images that failed, not counting skipped ones."""
        tried = self.counts.listed - self.counts.skipped
        return self.counts.failed / tried if tried else 0.0

    @property
    def challenger_accuracy(self) -> Accuracy | None:
        """The challenger's accuracy on the labeled images; None without labels or challenger."""
        return Accuracy(self.challenger_right, self.labeled) if self.challenger and self.labeled else None

    @property
    def images_per_second(self) -> float:
        """Rate of the last launcher, from the start of listing to the last work item; 0 if it had no work."""
        # A launcher with nothing to do takes less than the recorded precision, a millisecond.
        return float(self.times["images"]) / (float(self.times["pipeline_seconds"]) or 0.001)
