"""Calibrates a bundle on its owner's labeled images: temperature and threshold.

Loads TensorFlow only for the sources and splits that need it.
"""

import dataclasses
import hashlib
from typing import Any, Final

import numpy as np

from digitmill.confidence import calibration
from digitmill.confidence.guarantee import Shortfall, choose_tuning, guarantee
from digitmill.engines.bundle_loader import Bundle, open_bundle
from digitmill.reports import card_text
from digitmill.storage import OutputFolder, open_folder
from schemas.digit import CLASSES
from schemas.errors import UserError
from schemas.model import bundle as names
from schemas.model.accuracy import percent
from schemas.model.model_card import ModelCard
from schemas.model.recalibration import Recalibration
from schemas.model.trust import Coverage
from trainer.data import rejects
from trainer.data.reading import ReadOptions
from trainer.data.sources.source_specs import open_sources
from trainer.data.splits import Digits, Split
from trainer.job.calibrate_options import CalibrateOptions
from trainer.job.evaluate_job import check_split, select_splits, validation_fraction
from trainer.job.evaluate_options import ALL
from trainer.metrics.assessment import THRESHOLDS
from trainer.metrics.measures import Evaluation, confidence_histogram, count_ink, pixel_histogram

_LEAST_WRONG: Final = 5
"""Wrong answers that a temperature is fitted on: with fewer, it would make the confidences 1 or nearly so."""


@dataclasses.dataclass(frozen=True)
class CalibrationResult:
    """A calibrated bundle: its place, its digest, and its card."""

    bundle: str
    digest: str
    card: ModelCard

    def as_data(self) -> dict[str, Any]:
        """Return the result as JSON types."""
        found = dataclasses.asdict(_recalibration(self.card))
        return {
            "bundle": self.bundle,
            "digest": self.digest,
            "threshold": self.card.accept_threshold,
            **found,
        }

    def table(self) -> str:
        """Return the lines to print."""
        found = _recalibration(self.card)
        promise = found.guarantee
        lines = {
            "images": f"{found.images + found.not_digits:,}, {promise.images:,} of them tested",
            "temperature": f"{found.temperature:.3f}",
            "calibration": f"expected error {found.after.ece:.4f}, {found.before.ece:.4f} before",
            "threshold": f"{self.card.accept_threshold:.6f} accepts {percent(promise.coverage)}",
            "promise": card_text.promised(promise),
            "error bound": percent(promise.error_bound),
            "bundle": self.bundle,
        }
        return "\n".join(f"{name:<12} {value}" for name, value in lines.items())


def run(options: CalibrateOptions) -> CalibrationResult:
    """Write the calibrated bundle.

    Raises:
        UserError: when the bundle or an image cannot be used, or there are too few labels for the guarantee;
            nothing is written then.
    """
    check_split(options.split)
    bundle = open_bundle(options.model, options.engine)
    folder = open_folder(options.output)
    folder.check(names.CARD)
    images = _read(options, bundle)
    found = Evaluation.of(images.labels, bundle.load_model().probabilities(images.images))
    card = _calibrated(options, bundle, images, found)
    return _write(bundle, card, folder)


def _read(options: CalibrateOptions, bundle: Bundle) -> Split:
    """Return the labeled images; raise UserError if the model was trained on them."""
    reading = ReadOptions(
        rejects=rejects.Rejects(max_rate=options.max_bad_rate),
        cache_dir=options.cache_dir,
        complete=False,
        data_dir=options.data_dir,
    )
    fraction = validation_fraction(options.split, bundle)
    digits = open_sources(options.sources, reading).read(validation_fraction=fraction)
    if options.split == ALL:
        _refuse_training_data(digits, bundle)
    splits = select_splits(digits, options.split)
    return Split(
        np.concatenate([split.images for split in splits]), np.concatenate([split.labels for split in splits])
    )


def _refuse_training_data(digits: Digits, bundle: Bundle) -> None:
    trained = {source.digest for source in bundle.card.data_sources}
    for source in digits.described():
        if source.digest in trained:
            raise UserError(
                "the model was trained on these images, so they prove nothing",
                value=source.source,
                hint="label other images, or use those kept for the test by --split test",
            )


def _calibrated(options: CalibrateOptions, bundle: Bundle, images: Split, found: Evaluation) -> ModelCard:
    """Return the card of the calibrated bundle; raise UserError if no threshold is sure.

    Args:
        options: of the calibration.
        bundle: that is calibrated.
        images: the labeled images.
        found: what its model predicts of them, without any temperature of an earlier calibration.
    """
    tuning = choose_tuning(images.images)
    temperature = _fit_temperature(found.take(tuning), default=bundle.card.scoring_temperature)
    scaled = found.at_temperature(temperature)
    shown, seen = _as_scored(images, scaled)
    # No answer to an image that is no digit is right.
    confidence, right = seen.confidence, seen.predicted == images.labels
    promise = guarantee(confidence, right, tuning=tuning, target=options.target_accuracy, delta=options.delta)
    if isinstance(promise, Shortfall):
        raise UserError(
            str(promise),
            value=f"--target-accuracy {options.target_accuracy:g}",
            hint="label more images, drawn at random, or give a lower target",
        )
    tested = ~tuning
    before, after = (
        calibration.measure(each.probabilities, each.labels)
        for each in (found.at_temperature(bundle.card.scoring_temperature).take(tested), scaled.take(tested))
    )
    return dataclasses.replace(
        bundle.card,
        accept_threshold=promise.threshold,
        trust=None,
        recalibration=Recalibration(
            bundle=bundle.digest,
            data=", ".join(options.sources),
            images=len(found.labels),
            not_digits=len(found.not_digits),
            temperature=temperature,
            before=before,
            after=after,
            guarantee=promise,
            coverage=_coverage(confidence[tested], right[tested]),
            class_counts=shown.class_counts(),
            confidence_histogram=confidence_histogram(seen),
            pixel_histogram=pixel_histogram(shown),
            ink=count_ink(shown),
            command=options.command(output="calibrated"),
        ),
    )


def _as_scored(images: Split, scaled: Evaluation) -> tuple[Split, Evaluation]:
    """Return all images as runs see them: what is no digit has one predicted, and counts in drift as well."""
    labels, others = images.labels.copy(), scaled.order[len(scaled.labels) :]
    labels[others] = scaled.not_digits.argmax(axis=1)
    probabilities = np.zeros((len(images), CLASSES), np.float32)
    probabilities[scaled.order] = np.concatenate([scaled.probabilities, scaled.not_digits])
    return Split(images.images, labels), Evaluation.of(labels, probabilities)


def _fit_temperature(found: Evaluation, *, default: float) -> float:
    if int((found.predicted != found.labels).sum()) < _LEAST_WRONG:
        return default
    return calibration.fit_temperature(found.probabilities, found.labels)


def _coverage(confidence: np.ndarray, right: np.ndarray) -> tuple[Coverage, ...]:
    accepted = [confidence >= each for each in THRESHOLDS]
    return tuple(
        Coverage(threshold, int(mask.sum()), int(right[mask].sum()), len(right))
        for threshold, mask in zip(THRESHOLDS, accepted, strict=True)
    )


def _write(bundle: Bundle, card: ModelCard, folder: OutputFolder) -> CalibrationResult:
    """Write the bundle's files with the new card, the card last."""
    folder.claim()
    for name in card.files:
        folder.write_once(name, bundle.read(name))
    text = card.to_json().encode()
    folder.write_once(names.CARD, text)
    return CalibrationResult(folder.place, hashlib.sha256(text).hexdigest(), card)


def _recalibration(card: ModelCard) -> Recalibration:
    assert card.recalibration is not None
    return card.recalibration
