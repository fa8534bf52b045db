"""The run manifest: what a scoring run read, wrote and counted. No manifest, no run."""

import builtins
import dataclasses
import enum
import hashlib
from collections.abc import Mapping
from typing import Self

from schemas import versioned
from schemas.failure import FailureCode
from schemas.model.accuracy import Accuracy

FILE = "manifest.json"
"""Name of the manifest in the output folder; written last, atomically."""

FORMAT = 2
"""Version of the manifest's format; a reader refuses another."""


class Status(enum.StrEnum):
    """How a run ended that was accounted for."""

    COMPLETE = "complete"
    OVER_BUDGET = "over_budget"


@dataclasses.dataclass(frozen=True)
class Counts:
    """Images by what became of them."""

    listed: int
    scored: int
    failed: int
    skipped: int

    @property
    def reconciled(self) -> bool:
        """Whether every listed image has exactly one outcome."""
        return self.listed == self.scored + self.failed + self.skipped

    def status(self, max_failure_rate: object) -> Status:
        """Returns how a run ends with these counts; None, of runs that score nothing, allows any rate."""
        allowed = max_failure_rate if isinstance(max_failure_rate, int | float) else 1.0
        over = self.failed > allowed * (self.scored + self.failed)
        return Status.OVER_BUDGET if over else Status.COMPLETE


@dataclasses.dataclass(frozen=True)
class Part:
    """One output file.

    Attributes:
        name: path within the output folder, with `/`.
        rows: records in it, without a header; images, of files that hold none.
        bytes: its size.
        sha256: hexadecimal digest of its bytes.
    """

    name: str
    rows: int
    bytes: int
    sha256: str

    @classmethod
    def of(cls, name: str, data: "builtins.bytes", *, rows: int = 0) -> Self:
        """Describes a file's content."""
        return cls(name, rows=rows, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


@dataclasses.dataclass(frozen=True)
class Manifest:
    """One finished scoring run.

    Attributes:
        status: complete, or over_budget when more images failed than the run allows.
        counts: images by outcome; they reconcile.
        failures: failed images by failure code, every code named.
        labelled: scored images whose label is known.
        right: labelled images whose digit is the label.
        accepted: scored images at or above the accept threshold.
        inputs: what was asked for, as given.
        model: path, digest, recipe and engine of the bundle.
        options: settings that change what is written.
        versions: version of each library that took part, and of the preprocessing.
        times: when the run was begun; start and end of the last launcher (all UTC, ISO 8601), its
            pipeline's seconds, and the images that it scored or failed.
        parts: every output file, sorted by name, without the manifest itself.
        challenger: of the second model what `model` says of the first; None without one.
        agreed: scored images to which both gave the same digit; 0 without a challenger.
        challenger_right: labelled images whose challenger's digit is the label.
        command: what launched the run last, as one would type it; empty in older manifests.
    """

    status: str
    counts: Counts
    failures: Mapping[str, int]
    labelled: int
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

    def __post_init__(self) -> None:
        if self.status not in set(Status):
            raise ValueError(f"a status is one of {', '.join(Status)}; got {self.status!r}")
        if not self.counts.reconciled:
            raise ValueError(f"listed = scored + failed + skipped; got {self.counts}")
        if set(self.failures) != set(FailureCode):
            raise ValueError(f"failures names every code once; got {sorted(self.failures)}")
        if sum(self.failures.values()) != self.counts.failed:
            raise ValueError(f"failures add up to {self.counts.failed}; got {dict(self.failures)}")
        if not 0 <= self.right <= self.labelled <= self.counts.scored:
            raise ValueError(f"right <= labelled <= scored; got {self.right}, {self.labelled}, {self.counts}")
        if not 0 <= self.agreed <= self.counts.scored or not 0 <= self.challenger_right <= self.labelled:
            raise ValueError(
                f"agreed <= scored, challenger_right <= labelled; got {self.agreed}, {self.challenger_right}"
            )

    @property
    def accept_threshold(self) -> float:
        """Confidence from which the run accepted predictions."""
        return float(self.options["accept_threshold"] or 0)

    @property
    def accuracy(self) -> Accuracy | None:
        """Accuracy on the labelled images; None where there are none."""
        return Accuracy(self.right, self.labelled) if self.labelled else None

    @property
    def failure_rate(self) -> float:
        """Share of the images that were not skipped which failed."""
        tried = self.counts.listed - self.counts.skipped
        return self.counts.failed / tried if tried else 0.0

    @property
    def challenger_accuracy(self) -> Accuracy | None:
        """The challenger's accuracy on the labelled images; None where there are none, or no challenger."""
        return Accuracy(self.challenger_right, self.labelled) if self.challenger and self.labelled else None

    @property
    def images_per_second(self) -> float:
        """Images that the last launcher scored over its seconds from listing them to the last work item."""
        return float(self.times["images"]) / float(self.times["pipeline_seconds"])

    def to_json(self) -> str:
        """Returns the manifest as the text of its file."""
        return versioned.dump(dataclasses.asdict(self), format=FORMAT)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads a manifest.

        Raises:
            ValueError: when the text is no JSON, no manifest, or one of another format.
        """
        fields = versioned.parse(text, "a manifest", format=FORMAT)
        with versioned.check_fields("a manifest"):
            fields["counts"] = Counts(**fields["counts"])
            fields["parts"] = tuple(Part(**part) for part in fields["parts"])
            fields["inputs"] = tuple(fields["inputs"])
            return cls(**fields)
