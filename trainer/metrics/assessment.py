"""Chooses the accept threshold, and assesses a model's confidence on held-out, test and non-digit images."""

import dataclasses
import sys
from collections.abc import Callable
from typing import Final

import numpy as np

from schemas.errors import UserError
from schemas.model.accuracy import percent
from schemas.model.model_card import ModelCard
from schemas.model.trust import Calibration, Trust
from trainer.data.splits import Split
from trainer.metrics import calibration, out_of_distribution

DEFAULT_THRESHOLD: Final = 0.9
"""Accepts answers that a calibrated model expects to be wrong at most one time in ten. A threshold for a
target accuracy would need thousands of held-out images."""

THRESHOLDS: Final = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999)
"""Thresholds in the card's coverage table."""


def check_target(target: float | None, validation: Split | None) -> None:
    """Raise UserError unless there are images to choose a threshold on; warn if they are few."""
    if target is None:
        return
    if validation is None:
        raise UserError(
            "--target-accuracy needs held-out images",
            value=f"{target} with no validation split",
            hint="give --accept-threshold, or data with more images",
        )
    # One error in 5,000 images is an accuracy of 0.9998, whatever the binary rounding.
    if len(validation) * (1 - target) < 1 - 1e-6:
        print(
            f"warning: {len(validation):,} validation images are too few to tell an accuracy of {target} "
            "from 1; the threshold will be above all wrong answers",
            file=sys.stderr,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """The data on which a bundle is assessed.

    Attributes:
        train: uint8[N, 28, 28] training images, for int8 calibration.
        validation: held-out images; None if there are none.
        test: test images.
        uncalibrated: calibration on `validation` without the temperature; None without `validation`.
        threshold: the accept threshold; None to choose it by `target`.
        target: wanted accuracy of accepted validation images; None for the default threshold.
    """

    train: np.ndarray
    validation: Split | None
    test: Split
    uncalibrated: Calibration | None = None
    threshold: float | None = None
    target: float | None = None

    @property
    def measured(self) -> Split:
        """The images on which formats are compared: validation, or test if there is none."""
        return self.validation or self.test


def assess(predict: Callable[[np.ndarray], np.ndarray], evidence: Evidence) -> tuple[float, Trust]:
    """Return the accept threshold and the assessment of the model's confidence.

    Args:
        predict: from uint8[N, 28, 28] canonical digits to float32[N, 10] calibrated probabilities, by the
            default format.
        evidence: the data.
    """
    test = predict(evidence.test.images)
    held_out = evidence.validation
    validation = predict(held_out.images) if held_out else None
    threshold, target = _threshold(evidence, validation)
    known, truth = (validation, held_out) if held_out and validation is not None else (test, evidence.test)
    return threshold, Trust(
        uncalibrated=evidence.uncalibrated,
        validation=calibration.measure(known, truth.labels) if held_out else None,
        test=calibration.measure(test, evidence.test.labels),
        target_accuracy=target,
        accepted=calibration.coverage_at(known, truth.labels, threshold) if held_out else None,
        accepted_test=calibration.coverage_at(test, evidence.test.labels, threshold),
        coverage=tuple(calibration.coverage_at(known, truth.labels, each) for each in THRESHOLDS),
        unfamiliar=out_of_distribution.measure(predict, truth.images, threshold=threshold),
    )


def summary(card: ModelCard) -> dict[str, str]:
    """Return the lines of a run's printed summary, by title."""
    lines = {"temperature": f"{card.temperature:.3f}"}
    if (trust := card.trust) is None:
        return lines
    if trust.uncalibrated and trust.validation:
        lines["calibration"] = (
            f"expected error {trust.validation.ece:.4f}, {trust.uncalibrated.ece:.4f} without temperature"
        )
    accepted = trust.accepted or trust.accepted_test
    lines["threshold"] = (
        f"{card.accept_threshold:.4f} accepts {percent(accepted.coverage)} of "
        f"{'validation' if trust.accepted else 'test'} images, {percent(accepted.accuracy)} of them right"
    )
    default = next(row for row in card.exports if row.name == card.litert_model)
    return lines | {
        "on CPUs": f"{default.name}: {percent(default.accuracy.value)} of the same images, "
        f"{default.images_per_second:,.0f} images/s"
    }


def _threshold(evidence: Evidence, validation: np.ndarray | None) -> tuple[float, float | None]:
    """Return the threshold, and the target if the threshold was chosen by it."""
    if evidence.threshold is not None:
        return evidence.threshold, None
    if evidence.target is None or evidence.validation is None or validation is None:
        return DEFAULT_THRESHOLD, None
    found = calibration.find_threshold(validation, evidence.validation.labels, evidence.target)
    return found.threshold, evidence.target
