"""Trust section of a model card: calibration, accept thresholds and out-of-distribution input."""

import dataclasses
from collections.abc import Mapping


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
class Trust:
    """How far a model's confidence can be trusted, measured when the bundle was made.

    Attributes:
        uncalibrated: on the validation images without the temperature; None where none were held out.
        validation: on the same images with it.
        test: on the test images with it.
        target_accuracy: accuracy of accepted images that the accept threshold was chosen for; None
            where the threshold was given.
        accepted: validation images that the accept threshold accepts; None where none were held out.
        accepted_test: test images that it accepts.
        coverage: effect of other thresholds, ascending, on the validation images, or on the test images
            where none were held out.
        unfamiliar: outcomes of out-of-distribution images, by kind.
    """

    uncalibrated: Calibration | None
    validation: Calibration | None
    test: Calibration
    target_accuracy: float | None
    accepted: Coverage | None
    accepted_test: Coverage
    coverage: tuple[Coverage, ...] = ()
    unfamiliar: Mapping[str, Unfamiliar] = dataclasses.field(default_factory=dict)
