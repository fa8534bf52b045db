"""What a run keeps of itself so that its report can be made again: `report/data.json`."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

from digitmill.reports.charts.acceptance import ReliabilityBin
from schemas import versioned
from schemas.digit import CLASSES
from schemas.model.accuracy import Accuracy
from schemas.model.trust import Calibration, Coverage

FOLDER: Final = "report"
"""Folder of the record, and of the charts as PNG and CSV, within the run folder."""

FILE: Final = f"{FOLDER}/data.json"

PAGE: Final = "report.html"
"""The page, in the run folder."""

FORMAT: Final = 1
"""Version of the record's format; a reader refuses another."""

Value = str | int | float | bool | None
Matrix = tuple[tuple[int, ...], ...]


@dataclasses.dataclass(frozen=True)
class Confidence:
    """How the confidences on one split compare with the truth.

    Attributes:
        measured: calibration error, Brier score and log loss.
        bins: `trainer.metrics.calibration.ECE_BINS` of equal width over [0, 1].
    """

    measured: Calibration
    bins: tuple[ReliabilityBin, ...]

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """Makes it from what JSON kept of it."""
        bins = tuple(ReliabilityBin(**found) for found in fields["bins"])
        return cls(Calibration(**fields["measured"]), bins)


@dataclasses.dataclass(frozen=True)
class Answers:
    """The trained network's answers on one split, counted.

    Attributes:
        confusion: images by true digit (row) and predicted digit (column), 10 x 10.
        uncalibrated: their confidence before the temperature.
        calibrated: with it.
        coverage: what thresholds accept, rising, the accept threshold among them.
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
        """Images answered right."""
        return sum(row[digit] for digit, row in enumerate(self.confusion))

    def at(self, threshold: float) -> Coverage:
        """Returns what the known threshold nearest to one accepts."""
        return min(self.coverage, key=lambda row: abs(row.threshold - threshold))

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """Makes it from what JSON kept of it."""
        return cls(
            confusion=_matrix(fields["confusion"]),
            uncalibrated=Confidence.from_fields(fields["uncalibrated"]),
            calibrated=Confidence.from_fields(fields["calibrated"]),
            coverage=tuple(Coverage(**row) for row in fields["coverage"]),
        )


@dataclasses.dataclass(frozen=True)
class ShownImage:
    """A test image that the report shows.

    Attributes:
        image: its place in the test split, from 0.
        label: the true digit.
        digit: the answer.
        confidence: of the answer, in [0, 1].
        second_digit: the next probable one.
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
        bundle: its folder: relative to the run folder where the run trained it, else as it was named.
        recipe: its recipe.
        seed: its seed.
        right: test images that it answers right.
        images: test images.
        digest: SHA-256 of its card.
        epochs: how many of `history.csv`'s rows are its; they come in the members' order.
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
        """On the test images."""
        return Accuracy(self.right, self.images)

    @property
    def link(self) -> str:
        """Where its own report is, seen from the ensemble's; empty where that is not known."""
        folder, _, _ = self.bundle.rpartition("/")
        return f"{folder}/{PAGE}" if folder.startswith("members/") else ""


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """One run's evidence; its card and `history.csv` say the rest.

    Attributes:
        finished: when it was measured, UTC, ISO 8601.
        settings: every option and field of the recipe that may make another network, by name; None
            where the recipe leaves it to itself.
        class_counts: images per digit, by split.
        learning_rates: step and learning rate, rising steps; none for an ensemble.
        answers: by split: test, and validation where images were held out.
        mistaken: test images answered wrong, the surest first.
        doubtful: test images of the least confidence.
        sample: test images, evenly chosen of each digit, by digit.
        members: of an ensemble; none for a single network.
    """

    finished: str
    settings: Mapping[str, Value]
    class_counts: Mapping[str, tuple[int, ...]]
    learning_rates: tuple[tuple[int, float], ...]
    answers: Mapping[str, Answers]
    mistaken: tuple[ShownImage, ...]
    doubtful: tuple[ShownImage, ...]
    sample: tuple[ShownImage, ...]
    members: tuple[Member, ...] = ()

    def to_json(self) -> str:
        """Returns the record as the text of its file."""
        return versioned.dump(dataclasses.asdict(self), format=FORMAT)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads a record.

        Raises:
            ValueError: when the text is no JSON, no record, or a record of another format.
        """
        with versioned.load(text, "a training run's record", format=FORMAT) as fields:
            fields["class_counts"] = {
                name: _ten(counts) for name, counts in dict(fields["class_counts"]).items()
            }
            fields["learning_rates"] = tuple((step, rate) for step, rate in fields["learning_rates"])
            fields["answers"] = {
                name: Answers.from_fields(found) for name, found in dict(fields["answers"]).items()
            }
            for name in ("mistaken", "doubtful", "sample"):
                fields[name] = tuple(ShownImage(**shown) for shown in fields[name])
            fields["members"] = tuple(Member(**member) for member in fields["members"])
            return cls(**fields)


def _matrix(rows: Sequence[Sequence[int]]) -> Matrix:
    if len(rows) != CLASSES:
        raise ValueError(f"a confusion matrix has {CLASSES} rows; got {len(rows)}")
    return tuple(map(_ten, rows))


def _ten(counts: Sequence[int]) -> tuple[int, ...]:
    if len(counts) != CLASSES:
        raise ValueError(f"there are counts for {CLASSES} digits; got {len(counts)}")
    return tuple(counts)
