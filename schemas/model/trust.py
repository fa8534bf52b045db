"""Trust section of a model card: calibration, accept thresholds and out-of-distribution input."""

import dataclasses
from collections.abc import Mapping
from typing import Final

DELTA: Final = 0.05
"""Probability with which a promise may be broken."""


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
        threshold: least confidence that is accepted.
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
        """Share of the accepted that are right; 1 where none is accepted."""
        return self.right / self.accepted if self.accepted else 1.0


@dataclasses.dataclass(frozen=True)
class Guarantee:
    """Promise of an accept threshold: at least `target` of the images that it accepts are right.

    Attributes:
        target: the accuracy that is promised, in [0, 1).
        delta: the probability with which the promise may be broken, over the draw of the labeled images.
        threshold: least confidence that is accepted.
        images: labeled images on which thresholds were tested.
        accepted: those that the threshold accepts.
        wrong: of these, those with another digit, or without any.
        error_bound: share of wrong ones among the accepted that is exceeded with probability `delta` at most.
        tuning: further labeled images, which were not tested: they chose where the tests began.
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
        """Share of images that was wrongly accepted."""
        return self.accepted / self.images


@dataclasses.dataclass(frozen=True)
class NotDigits:
    """Outcome of the pictures of a split that are labeled as no digit.

    Attributes:
        accepted: those that the accept threshold accepts, every one of them wrongly.
    """

    images: int
    accepted: int

    @property
    def share(self) -> float:
        """Share of the pictures that was wrongly accepted; 0 where there are none."""
        return self.accepted / self.images if self.images else 0.0


@dataclasses.dataclass(frozen=True)
class SourceTrust:
    """Accuracy and coverage on the images of one source of a mixture, at the accept threshold.

    Attributes:
        images: its digits.
        right: digits predicted right.
        accepted: digits that the threshold accepts.
        accepted_right: of these, those predicted right.
        not_digits: its pictures that are no digit, and how many of them are accepted.
    """

    images: int
    right: int
    accepted: int
    accepted_right: int
    not_digits: NotDigits

    @property
    def accuracy(self) -> float | None:
        """Share of the digits that are right; None without any."""
        return self.right / self.images if self.images else None

    @property
    def coverage(self) -> float | None:
        """Share of the digits that are accepted; None without any."""
        return self.accepted / self.images if self.images else None

    @property
    def accepted_accuracy(self) -> float | None:
        """Share of the accepted digits that are right; None without any."""
        return self.accepted_right / self.accepted if self.accepted else None


@dataclasses.dataclass(frozen=True)
class Trust:
    """How far a model's confidence can be trusted, measured when the bundle was made.

    Attributes:
        uncalibrated: on the validation images without the temperature; None where none were held out.
        validation: on the same images with it.
        test: on the test images with it.
        target_accuracy: accuracy of accepted images that the accept threshold was chosen for; None
            where the threshold was given.
        guarantee: how the threshold keeps that target; None where it was given, or no threshold was sure to.
        accepted: validation images that the accept threshold accepts; None where none were held out.
        accepted_test: test images that it accepts.
        coverage: effect of other thresholds, ascending, on the validation images, or on the test images
            where none were held out.
        unfamiliar: outcomes of out-of-distribution images, by kind.
        not_digits: outcomes of pictures that are no digit, by split; none where the data has none. All other
            figures are of digits alone, but a threshold chosen for a target: there, an accepted picture that
            is no digit counts as wrong.
        sources: accuracy and coverage on each source of a mixture, by split and `--data` value; none
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
