"""The record from which a run's report can be made again: `report/data.json`."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

from digitmill.reports.charts.acceptance import ReliabilityBin
from schemas import versioned
from schemas.digit import CLASSES
from schemas.model.accuracy import Accuracy
from schemas.model.trust import Calibration, Coverage

FOLDER: Final = "report"
"""Folder of the record, and of the charts as PNG and CSV, in the run folder."""

FILE: Final = f"{FOLDER}/data.json"

PAGE: Final = "report.html"
"""The page, in the run folder."""

FORMAT: Final = 1
"""Version of the record's format; readers refuse others."""

Value = str | int | float | bool | None
Matrix = tuple[tuple[int, ...], ...]


@dataclasses.dataclass(frozen=True)
class Confidence:
    """Calibration on one split.

    Attributes:
        measured: calibration error, Brier score and log loss.
        bins: `trainer.metrics.calibration.ECE_BINS` bins of equal width over [0, 1].
    """

    measured: Calibration
    bins: tuple[ReliabilityBin, ...]

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """Reads it from JSON fields."""
        bins = tuple(ReliabilityBin(**found) for found in fields["bins"])
        return cls(Calibration(**fields["measured"]), bins)


@dataclasses.dataclass(frozen=True)
class SplitMetrics:
    """The trained network's metrics on one split.

    Attributes:
        confusion: images by true digit (row) and predicted digit (column), 10 x 10.
        uncalibrated: calibration without the temperature.
        calibrated: calibration with it.
        coverage: coverage by ascending threshold, including the accept threshold.
    """

    confusion: Matrix
    uncalibrated: Confidence
    calibrated: Confidence
    coverage: tuple[Coverage, ...]

    @property
    def images(self) -> int:
        """Images of the split."""
        return sum(map(sum, self.confusion))

    @property
    def right(self) -> int:
        """Images predicted right."""
        return sum(row[digit] for digit, row in enumerate(self.confusion))

    def at(self, threshold: float) -> Coverage:
        """Returns the coverage at the nearest recorded threshold."""
        return min(self.coverage, key=lambda row: abs(row.threshold - threshold))

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """Reads it from JSON fields."""
        return cls(
            confusion=_matrix(fields["confusion"]),
            uncalibrated=Confidence.from_fields(fields["uncalibrated"]),
            calibrated=Confidence.from_fields(fields["calibrated"]),
            coverage=tuple(Coverage(**row) for row in fields["coverage"]),
        )


@dataclasses.dataclass(frozen=True)
class SampleImage:
    """A test image for the report.

    Attributes:
        image: its index in the test split.
        label: the true digit.
        digit: the predicted digit.
        confidence: probability of the predicted digit, in [0, 1].
        second_digit: the second most probable digit.
        png: the canonical digit, base64.
    """

    image: int
    label: int
    digit: int
    confidence: float
    second_digit: int
    png: str


@dataclasses.dataclass(frozen=True)
class Member:
    """One of the networks that an ensemble averages.

    Attributes:
        bundle: its folder, relative to the run folder if the run trained it, else as given.
        recipe: its recipe.
        seed: its seed.
        right: test images predicted right.
        images: test images.
        digest: SHA-256 of its card.
        epochs: number of its rows in `history.csv`, which are in the members' order.
    """

    bundle: str
    recipe: str
    seed: int
    right: int
    images: int
    digest: str
    epochs: int

    @property
    def accuracy(self) -> Accuracy:
        """Accuracy on the test images."""
        return Accuracy(self.right, self.images)

    @property
    def link(self) -> str:
        """Relative link from the ensemble's report to its own; empty if unknown."""
        folder, _, _ = self.bundle.rpartition("/")
        return f"{folder}/{PAGE}" if folder.startswith("members/") else ""


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """What the report of a run needs besides its card and `history.csv`; the field names are the file's.

    Attributes:
        finished: time of the measurement, UTC, ISO 8601.
        settings: options and recipe fields on which the network depends, by name; None if unset.
        class_counts: images per digit, by split.
        learning_rates: steps, ascending, and their learning rates; empty for an ensemble.
        answers: metrics by split: test and, if images were held out, validation.
        mistaken: misclassified test images, by descending confidence.
        doubtful: test images by ascending confidence.
        sample: test images, evenly chosen from each digit, by digit.
        members: members of an ensemble; empty for a single network.
    """

    finished: str
    settings: Mapping[str, Value]
    class_counts: Mapping[str, tuple[int, ...]]
    learning_rates: tuple[tuple[int, float], ...]
    answers: Mapping[str, SplitMetrics]
    mistaken: tuple[SampleImage, ...]
    doubtful: tuple[SampleImage, ...]
    sample: tuple[SampleImage, ...]
    members: tuple[Member, ...] = ()

    def to_json(self) -> str:
        """Returns the record as the text of its file."""
        return versioned.dump(dataclasses.asdict(self), format=FORMAT)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads a record.

        Raises:
            ValueError: if the text is no JSON, no record, or a record of another format.
        """
        with versioned.load(text, "a training run's record", format=FORMAT) as fields:
            fields["class_counts"] = {
                name: _ten(counts) for name, counts in dict(fields["class_counts"]).items()
            }
            fields["learning_rates"] = tuple((step, rate) for step, rate in fields["learning_rates"])
            fields["answers"] = {
                name: SplitMetrics.from_fields(found) for name, found in dict(fields["answers"]).items()
            }
            for name in ("mistaken", "doubtful", "sample"):
                fields[name] = tuple(SampleImage(**image) for image in fields[name])
            fields["members"] = tuple(Member(**member) for member in fields["members"])
            return cls(**fields)


def _matrix(rows: Sequence[Sequence[int]]) -> Matrix:
    if len(rows) != CLASSES:
        raise ValueError(f"a confusion matrix must have {CLASSES} rows; got {len(rows)}")
    return tuple(map(_ten, rows))


def _ten(counts: Sequence[int]) -> tuple[int, ...]:
    if len(counts) != CLASSES:
        raise ValueError(f"expected counts for {CLASSES} digits; got {len(counts)}")
    return tuple(counts)
