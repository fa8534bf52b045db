"""The record from which a run's report can be rebuilt: `report/data.json`."""

import dataclasses
from collections.abc import Mapping
from typing import Final

from digitmill.reports.charts.acceptance import ReliabilityBin
from schemas.digit import CLASSES
from schemas.model.accuracy import Accuracy
from schemas.model.trust import Calibration, Coverage
from schemas.versioned import VersionedRecord

FOLDER: Final = "report"
"""Folder in the run folder, for the record and for the charts as PNG and CSV."""

FILE: Final = f"{FOLDER}/data.json"

PAGE: Final = "report.html"
"""Name of the page in the run folder."""

FORMAT: Final = 1
"""Version of the record's format; readers refuse others."""

Value = str | int | float | bool | None
Matrix = tuple[tuple[int, ...], ...]


@dataclasses.dataclass(frozen=True)
class Confidence:
    """Calibration on one split.

    Attributes:
        bins: `digitmill.confidence.calibration.ECE_BINS` bins of equal width over [0, 1].
    """

    measured: Calibration
    bins: tuple[ReliabilityBin, ...]


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

    def __post_init__(self) -> None:
        if [len(row) for row in self.confusion] != [CLASSES] * CLASSES:
            raise ValueError(f"a confusion matrix must have {CLASSES} rows of {CLASSES} counts")

    @property
    def images(self) -> int:
        """Number of images in the split."""
        return sum(map(sum, self.confusion))

    @property
    def right(self) -> int:
        """Number of images predicted right."""
        return sum(row[digit] for digit, row in enumerate(self.confusion))

    def at(self, threshold: float) -> Coverage:
        """Return the coverage at the nearest recorded threshold."""
        return min(self.coverage, key=lambda row: abs(row.threshold - threshold))


@dataclasses.dataclass(frozen=True)
class SampleImage:
    """An image for the report.

    Attributes:
        image: index of the image in its split.
        digit: the predicted digit.
        confidence: probability of the predicted digit, in [0, 1].
        png: the canonical digit, base64.
        split: name of the split.
    """

    image: int
    label: int
    digit: int
    confidence: float
    second_digit: int
    png: str
    split: str = "test"


@dataclasses.dataclass(frozen=True)
class AugmentedImage:
    """A training image and its augmented copies, as base64 PNGs."""

    label: int
    png: str
    copies: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Member:
    """One of the networks that an ensemble averages.

    Attributes:
        bundle: the member's bundle, relative to the run folder if the run trained it, otherwise as given.
        right: number of test images predicted right, out of `images`.
        digest: SHA-256 of the member's card.
        epochs: number of the member's rows in `history.csv`, which is in the order of the members.
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
        """Relative link from the ensemble's report to the member's report; empty if unknown."""
        folder, _, _ = self.bundle.rpartition("/")
        return f"{folder}/{PAGE}" if folder.startswith("members/") else ""


@dataclasses.dataclass(frozen=True)
class RunRecord(VersionedRecord, what="a training run's record", format=FORMAT):
    """Data for a run's report besides its card and `history.csv`, with the field names of the file.

    Attributes:
        finished: time of the measurement, UTC, ISO 8601.
        settings: options and recipe fields that affect the network, by name; None if unset.
        class_counts: images per digit, by split.
        learning_rates: steps, ascending, and their learning rates; empty for an ensemble.
        answers: metrics by split: test and, if images were held out, validation.
        mistaken: misclassified test images, by descending confidence.
        doubtful: test images by ascending confidence.
        sample: test images chosen evenly from each digit, by digit.
        members: members of an ensemble; empty for a single network.
        random: test images chosen at random, in the test split's order; empty in records of earlier versions.
        not_digits: number of pictures that show no digit, by split; splits without any are left out.
        label_suspects: test and validation images whose labels are most likely wrong, most likely first;
            empty in records of earlier versions.
        self_confidence: by digit, the mean probability of the label on test and validation images; empty in
            records of earlier versions.
        test_right: of earlier versions, which test images are right in the order of the source; not used,
            because the same images may have another order.
        augmented: a training image of each digit with augmented copies; empty without augmentation, and in
            records of earlier versions.
        right_by_pixels: which test images are right, sorted by the SHA-256 of pixels and label, encoded by
            `paired_test.pack_right`; empty in records of earlier versions.
    """

    finished: str
    settings: Mapping[str, Value]
    class_counts: Mapping[str, tuple[int, ...]]
    learning_rates: tuple[tuple[int, float], ...]
    answers: Mapping[str, SplitMetrics]
    mistaken: tuple[SampleImage, ...]
    doubtful: tuple[SampleImage, ...]
    sample: tuple[SampleImage, ...]
    members: tuple[Member, ...]
    random: tuple[SampleImage, ...] = ()
    not_digits: Mapping[str, int] = dataclasses.field(default_factory=dict)
    label_suspects: tuple[SampleImage, ...] = ()
    self_confidence: tuple[float, ...] = ()
    test_right: str = ""
    augmented: tuple[AugmentedImage, ...] = ()
    right_by_pixels: str = ""

    def __post_init__(self) -> None:
        for name, counts in self.class_counts.items():
            if len(counts) != CLASSES:
                raise ValueError(f"expected counts for {CLASSES} digits in {name}; got {len(counts)}")
