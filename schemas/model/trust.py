"""Trust section of a model card: calibration, accept thresholds and out-of-distribution input."""

import dataclasses
from collections.abc import Mapping
from typing import Final

DELTA: Final = 0.05
"""Probability with which a guarantee may fail."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Calibration metrics of a model.

    Attributes:
        log_loss: mean negative log-likelihood, nats.
        ece: expected calibration error, in [0, 1].
        brier: mean squared distance of the probabilities from the truth, over all classes, in [0, 2].
    """

    log_loss: float
    ece: float
    brier: float


@dataclasses.dataclass(frozen=True)
class Coverage:
    """Effect of an accept threshold.

    Attributes:
        threshold: lowest confidence that is accepted.
        right: accepted images with the right digit.
        images: all images.
    """

    threshold: float
    accepted: int
    right: int
    images: int

    @property
    def coverage(self) -> float:
        """Share of images that are accepted."""
        return self.accepted / self.images

    @property
    def accuracy(self) -> float:
        """Share of the accepted images that are right; 1 if none is accepted."""
        return self.right / self.accepted if self.accepted else 1.0


@dataclasses.dataclass(frozen=True)
class Guarantee:
    """Guarantee of an accept threshold: at least a share `target` of the images it accepts are right.

    Attributes:
        target: the guaranteed accuracy, in [0, 1).
        delta: the probability, over the draw of the labeled images, that the guarantee does not hold.
        threshold: lowest confidence that is accepted.
        images: number of labeled images on which thresholds were tested.
        accepted: how many of them the threshold accepts.
        wrong: how many of the accepted images show another digit, or none.
        error_bound: upper bound of the error rate among accepted images, exceeded with probability `delta`
            at most.
        tuning: number of further labeled images that only chose the threshold to test first.
    """

    target: float
    delta: float
    threshold: float
    images: int
    accepted: int
    wrong: int
    error_bound: float
    tuning: int = 0

    @property
    def coverage(self) -> float:
        """Share of the tested images that are accepted."""
        return self.accepted / self.images


@dataclasses.dataclass(frozen=True)
class Unfamiliar:
    """Outcomes of out-of-distribution images of one kind.

    Attributes:
        blank: images rejected by preprocessing as blank.
    """

    images: int
    blank: int
    accepted: int

    @property
    def share(self) -> float:
        """Share of the images that were wrongly accepted."""
        return self.accepted / self.images


@dataclasses.dataclass(frozen=True)
class NotDigits:
    """Outcome of the pictures of a split that are labeled as no digit.

    Attributes:
        accepted: pictures that the accept threshold accepts; all of these are errors.
    """

    images: int
    accepted: int

    @property
    def share(self) -> float:
        """Share of the pictures that were wrongly accepted; 0 if there are none."""
        return self.accepted / self.images if self.images else 0.0


@dataclasses.dataclass(frozen=True)
class SourceTrust:
    """Accuracy and coverage on the images of one source of a mixture, at the accept threshold.

    Attributes:
        images: number of digits in the source.
        right: digits predicted right.
        accepted: digits that the threshold accepts.
        accepted_right: accepted digits that are predicted right.
        not_digits: pictures of the source that show no digit, and how many of them are accepted.
    """

    images: int
    right: int
    accepted: int
    accepted_right: int
    not_digits: NotDigits

    @property
    def accuracy(self) -> float | None:
        """Share of the digits that are right; None if there are none."""
        return self.right / self.images if self.images else None

    @property
    def coverage(self) -> float | None:
        """Share of the digits that are accepted; None if there are none."""
        return self.accepted / self.images if self.images else None

    @property
    def accepted_accuracy(self) -> float | None:
        """Share of the accepted digits that are right; None if none is accepted."""
        return self.accepted_right / self.accepted if self.accepted else None


@dataclasses.dataclass(frozen=True)
class Trust:
    """How far a model's confidence can be trusted, measured when the bundle was made.

    Attributes:
        uncalibrated: calibration on the validation images without the temperature; None if no images were
            held out.
        validation: calibration on the validation images with the temperature.
        test: calibration on the test images with the temperature.
        target_accuracy: accuracy of accepted images for which the accept threshold was chosen; None if the
            threshold was given.
        guarantee: what the threshold guarantees about that target; None if the threshold was given, or if
            no threshold could be guaranteed.
        accepted: validation images that the accept threshold accepts; None if none were held out.
        accepted_test: test images that the accept threshold accepts.
        coverage: effect of other thresholds, ascending, on the validation images, or on the test images
            if none were held out.
        unfamiliar: outcomes of out-of-distribution images, by kind.
        not_digits: outcomes of pictures that show no digit, by split; empty if the data has none. All other
            figures cover digits only. A threshold chosen for a target is the exception: it counts an
            accepted picture of no digit as wrong.
        sources: accuracy and coverage on each source of a mixture, by split and `--data` value; empty
            without a mixture.
    """

    uncalibrated: Calibration | None
    validation: Calibration | None
    test: Calibration
    target_accuracy: float | None
    accepted: Coverage | None
    accepted_test: Coverage
    coverage: tuple[Coverage, ...] = ()
    unfamiliar: Mapping[str, Unfamiliar] = dataclasses.field(default_factory=dict)
    not_digits: Mapping[str, NotDigits] = dataclasses.field(default_factory=dict)
    sources: Mapping[str, Mapping[str, SourceTrust]] = dataclasses.field(default_factory=dict)
    guarantee: Guarantee | None = None
