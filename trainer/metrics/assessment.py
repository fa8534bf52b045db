"""What a model's confidence is worth: on held-out images, on test images, and on what is no digit."""

import dataclasses
import sys
from collections.abc import Callable
from typing import Final

import numpy as np

from schemas.errors import UserError
from schemas.model.accuracy import percent
from schemas.model.model_card import ModelCard
from schemas.model.trust import Calibration, Coverage, Trust
from trainer.data.splits import Split
from trainer.metrics import calibration, out_of_distribution

DEFAULT_THRESHOLD: Final = 0.9
"""Accepts what a calibrated model expects to be wrong at most one time in ten, whatever the data; a
threshold for a target needs thousands of held-out images."""

THRESHOLDS: Final = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999)
"""Of the card's coverage table."""


def check_target(target: float | None, validation: Split | None) -> None:
    """Sees before the training that there are images to choose a threshold by; warns where they are few.

    Raises:
        UserError: when there are none.
    """
    if target is None:
        return
    if validation is None:
        raise UserError(
            "--target-accuracy looks at held-out images",
            got=f"{target} with no validation split",
            remedy="give --accept-threshold, or data with more images",
        )
    # One wrong answer of 5,000 is 0.9998, whatever binary fractions make of it.
    if len(validation) * (1 - target) < 1 - 1e-6:
        print(
            f"warning: {len(validation):,} validation images cannot tell an accuracy of {target} from 1; "
            "the threshold is the one above all wrong answers",
            file=sys.stderr,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """What a bundle's formats and its trust are measured on.

    Attributes:
        train: uint8[N, 28, 28] training images, by which ranges of activations are found.
        validation: held-out images; None where there are none.
        test: the test images.
        uncalibrated: calibration on `validation` without the temperature; None without it.
        threshold: the accept threshold; None for one that follows from the target.
        target: accuracy of accepted validation images; None for no target.
    """

    train: np.ndarray
    validation: Split | None
    test: Split
    uncalibrated: Calibration | None = None
    threshold: float | None = None
    target: float | None = None

    @property
    def measured(self) -> Split:
        """What formats are compared on: the validation images, or the test images without any."""
        return self.validation or self.test


def assess(answer: Callable[[np.ndarray], np.ndarray], evidence: Evidence) -> tuple[float, Trust]:
    """Returns the accept threshold, and what it and the model's confidence are worth.

    Args:
        answer: from uint8[N, 28, 28] canonical digits to float32[N, 10] calibrated probabilities, by the
            format that scores by default.
        evidence: what it is measured on.
    """
    test = answer(evidence.test.images)
    held_out = evidence.validation
    validation = answer(held_out.images) if held_out else None
    threshold, target = _threshold(evidence, validation)
    known, truth = (validation, held_out) if held_out and validation is not None else (test, evidence.test)
    return threshold, Trust(
        uncalibrated=evidence.uncalibrated,
        validation=calibration.measure(known, truth.labels) if held_out else None,
        test=calibration.measure(test, evidence.test.labels),
        target_accuracy=target,
        accepted=_accepted(known, truth, threshold) if held_out else None,
        accepted_test=_accepted(test, evidence.test, threshold),
        coverage=tuple(calibration.coverage_at(known, truth.labels, THRESHOLDS)),
        unfamiliar=out_of_distribution.measure(answer, truth.images, threshold=threshold),
    )


def told(card: ModelCard) -> dict[str, str]:
    """Returns the lines of a run's summary, by what they tell of."""
    lines = {"temperature": f"{card.temperature:.3f}"}
    if (worth := card.trust) is None:
        return lines
    if worth.uncalibrated and worth.validation:
        lines["calibration"] = (
            f"expected error {worth.validation.ece:.4f}, {worth.uncalibrated.ece:.4f} without temperature"
        )
    accepted = worth.accepted or worth.accepted_test
    lines["threshold"] = (
        f"{card.accept_threshold:.4f} accepts {percent(accepted.coverage)} of "
        f"{'validation' if worth.accepted else 'test'} images, {percent(accepted.accuracy)} of them right"
    )
    default = next(row for row in card.exports if row.name == card.litert_model)
    return lines | {
        "on CPUs": f"{default.name}: {percent(default.accuracy.value)} of the same images, "
        f"{default.images_per_second:,.0f} images/s"
    }


def _threshold(evidence: Evidence, validation: np.ndarray | None) -> tuple[float, float | None]:
    """Returns the threshold, and the target where it follows from one."""
    if evidence.threshold is not None:
        return evidence.threshold, None
    if evidence.target is None or evidence.validation is None or validation is None:
        return DEFAULT_THRESHOLD, None
    found = calibration.threshold_for(validation, evidence.validation.labels, evidence.target)
    return found.threshold, evidence.target


def _accepted(probabilities: np.ndarray, split: Split, threshold: float) -> Coverage:
    return calibration.coverage_at(probabilities, split.labels, [threshold])[0]
