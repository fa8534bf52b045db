"""Chooses the accept threshold, and assesses a model's confidence on held-out, test and non-digit images."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from digitmill.confidence import calibration
from digitmill.confidence.guarantee import Shortfall, choose_tuning, guarantee, least_images, tuning_part
from schemas.digit import NOT_A_DIGIT
from schemas.errors import UserError
from schemas.model.accuracy import percent
from schemas.model.model_card import ModelCard
from schemas.model.trust import Calibration, Coverage, Guarantee, SourceTrust, Trust
from trainer.data.splits import Split, evenly_spaced
from trainer.metrics import out_of_distribution
from trainer.metrics.measures import Evaluation

DEFAULT_THRESHOLD: Final = 0.9
"""Accepts answers that a calibrated model expects to be wrong at most one time in ten. A threshold for a
target accuracy would need thousands of held-out images."""

THRESHOLDS: Final = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999)
"""Thresholds in the card's coverage table."""

_MOST_DIGITS: Final = 10_000
"""Digits that are enough to draw pairs from."""


def check_target(target: float | None, validation: Split | None) -> None:
    """Raise UserError unless there are enough images to choose a threshold on, were all answers right."""
    if target is None:
        return
    if validation is None:
        raise UserError(
            "--target-accuracy needs held-out images",
            value=f"{target} with no validation split",
            hint="give --accept-threshold, or data with more images",
        )
    if target == 1:
        raise UserError(
            "no number of images can prove that all accepted answers are right",
            value=f"--target-accuracy {target:g}",
            hint="give a share below 1, such as 0.999",
        )
    tested, least = len(validation) - tuning_part(len(validation)), least_images(target)
    if tested < least:
        raise UserError(
            f"too few validation images for --target-accuracy: {tested:,} of {len(validation):,} test "
            f"thresholds, and {least:,} right ones would be needed",
            value=target,
            hint="give a lower target, more data, or --accept-threshold",
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
        target: accuracy that is promised of accepted images, where one that is no digit is wrong; None for
            the default threshold.
        sources: names of the sources of a mixture.
    """

    train: np.ndarray
    validation: Split | None
    test: Split
    uncalibrated: Calibration | None = None
    threshold: float | None = None
    target: float | None = None
    sources: tuple[str, ...] = ()

    @property
    def measured(self) -> Split:
        """The images for comparing formats: validation images, or test images without those."""
        return self.validation or self.test


def assess(predict: Callable[[np.ndarray], np.ndarray], evidence: Evidence) -> tuple[float, Trust]:
    """Return the accept threshold and the assessment of the model's confidence.

    Args:
        predict: from uint8[N, 28, 28] canonical digits to float32[N, 10] calibrated probabilities, by the
            default format.
        evidence: the data.
    """
    test = _evaluate(predict, evidence.test)
    validation = _evaluate(predict, evidence.validation) if evidence.validation else None
    threshold, target, promise = _threshold(evidence, validation)
    known = validation or test
    splits = {"validation": validation, "test": test}
    return threshold, Trust(
        uncalibrated=evidence.uncalibrated,
        validation=calibration.measure(known.probabilities, known.labels) if validation else None,
        test=calibration.measure(test.probabilities, test.labels),
        target_accuracy=target,
        guarantee=promise,
        accepted=_coverage(known, threshold) if validation else None,
        accepted_test=_coverage(test, threshold),
        coverage=tuple(_coverage(known, each) for each in THRESHOLDS),
        unfamiliar=out_of_distribution.measure(predict, _digits(evidence.measured), threshold=threshold),
        not_digits={
            name: found.not_digits_at(threshold)
            for name, found in splits.items()
            if found is not None and len(found.not_digits)
        },
        sources={
            name: by_source(found, split.sources, evidence.sources, threshold=threshold)
            for name, found, split in (
                ("validation", validation, evidence.validation),
                ("test", test, evidence.test),
            )
            if found is not None and split is not None and split.sources is not None
        },
    )


def by_source(
    found: Evaluation, sources: np.ndarray, names: Sequence[str], *, threshold: float
) -> dict[str, SourceTrust]:
    """Return accuracy and coverage of the predictions for each source of a mixture.

    Args:
        found: the predictions on the split.
        sources: uint16[N], the source of each image of the split.
        names: of the sources.
        threshold: the accept threshold.
    """
    return {
        names[number]: _source_trust(found.take(sources == number), threshold)
        for number in np.unique(sources).tolist()
    }


def _source_trust(found: Evaluation, threshold: float) -> SourceTrust:
    accepted = _coverage(found, threshold)
    right = int((found.predicted == found.labels).sum())
    return SourceTrust(
        accepted.images, right, accepted.accepted, accepted.right, found.not_digits_at(threshold)
    )


def _evaluate(predict: Callable[[np.ndarray], np.ndarray], split: Split) -> Evaluation:
    return Evaluation.of(split.labels, predict(split.images))


def _coverage(found: Evaluation, threshold: float) -> Coverage:
    return calibration.coverage_at(found.probabilities, found.labels, threshold)


def _digits(split: Split) -> np.ndarray:
    """Return the images of a split that are digits, or evenly spaced ones of many, which are copied."""
    if not split.not_digits:
        return split.images
    digits = np.flatnonzero(split.labels != NOT_A_DIGIT)
    return split.images[digits[evenly_spaced(len(digits), _MOST_DIGITS)]]


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
    if rejected := trust.not_digits.get("validation" if trust.accepted else "test"):
        lines["not a digit"] = (
            f"{rejected.accepted:,} of {rejected.images:,} pictures are accepted, {percent(rejected.share)}"
        )
    default = next(row for row in card.exports if row.name == card.litert_model)
    measured = f"the {'validation' if trust.accepted else 'test'} images"
    return lines | {
        "on CPUs": f"{default.name}: {percent(default.accuracy.value)} of {measured} right, "
        f"{default.images_per_second:,.0f} images/s"
    }


def _threshold(
    evidence: Evidence, validation: Evaluation | None
) -> tuple[float, float | None, Guarantee | None]:
    """Return the threshold, the target if the threshold was chosen by it, and the promise if that is kept."""
    if evidence.threshold is not None:
        return evidence.threshold, None, None
    if evidence.target is None or evidence.validation is None or validation is None:
        return DEFAULT_THRESHOLD, None, None
    # No answer to a picture that is no digit is right.
    unknown = validation.not_digits.max(axis=1, initial=0)
    found = guarantee(
        np.concatenate([validation.confidence, unknown]),
        np.concatenate([validation.predicted == validation.labels, np.zeros(len(unknown), bool)]),
        tuning=choose_tuning(evidence.validation.images)[validation.order],
        target=evidence.target,
    )
    if isinstance(found, Shortfall):
        print(f"warning: {found}; the accept threshold is 1, of which nothing is promised", file=sys.stderr)
        return 1.0, evidence.target, None
    return found.threshold, evidence.target, found
