"""Makes a run's record from its network's predictions."""

import dataclasses
import datetime
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from digitmill.commands import Effect
from digitmill.confidence import calibration
from digitmill.reports.charts.acceptance import ReliabilityBin
from digitmill.reports.gallery import inline_png
from digitmill.reports.label_errors import SelfConfidence
from schemas.digit import CLASSES
from trainer.data.splits import Digits, Split, evenly_spaced
from trainer.metrics.measures import Evaluation
from trainer.recipes.parts import overrides
from trainer.recipes.parts.recipe import Recipe
from trainer.report.augmentation_preview import augmented_images
from trainer.report.paired_test import pack_right
from trainer.report.record import Confidence, Member, RunRecord, SampleImage, SplitMetrics, Value
from trainer.train_options import TrainOptions

MAX_MISTAKEN: Final = 48
"""Maximum number of misclassified images to keep; the page shows the total number."""

MAX_SUSPECTS: Final = 30
"""Maximum number of images with suspected label errors to keep, over both splits."""

MAX_DOUBTFUL: Final = 24
"""Number of least confident images to keep."""

MAX_SAMPLES: Final = 6
"""Number of sample images to keep per digit."""

MAX_RANDOM: Final = 9
"""Number of random images to keep: three rows of three."""

THRESHOLDS: Final = tuple(
    sorted(
        {step / 100 for step in range(100)}
        | {round(1 - step * 10**-place, 6) for place in range(3, 7) for step in range(1, 10)}
    )
)
"""Thresholds of the coverage curve, denser near 1: good networks have most confidences above 0.999."""


def record(
    options: TrainOptions,
    recipe: Recipe,
    digits: Digits,
    *,
    uncalibrated: Mapping[str, Evaluation],
    calibrated: Mapping[str, Evaluation],
    threshold: float,
    learning_rates: Sequence[tuple[int, float]] = (),
    members: Iterable[Member] = (),
) -> RunRecord:
    """Return the record of a run."""
    test, summaries = calibrated["test"], digits.summaries()
    known = _self_confidence(calibrated)
    return RunRecord(
        finished=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        settings=settings_of(options, recipe),
        class_counts={name: found.class_counts for name, found in summaries.items()},
        not_digits={name: found.not_digits for name, found in summaries.items() if found.not_digits},
        learning_rates=tuple(learning_rates),
        answers={
            name: split_metrics(found, uncalibrated[name], threshold=threshold)
            for name, found in calibrated.items()
            if name != "train"
        },
        mistaken=tuple(_sample_images(digits.test, test, _most_confident_mistakes(test))),
        doubtful=tuple(
            _sample_images(digits.test, test, np.argsort(test.confidence, kind="stable")[:MAX_DOUBTFUL])
        ),
        sample=tuple(_sample_images(digits.test, test, _evenly_sampled(test.labels))),
        members=tuple(members),
        label_suspects=tuple(_label_suspects(digits, calibrated, known)),
        self_confidence=known.means,
        augmented=tuple(augmented_images(digits.train, recipe.augmentation, seed=options.seed)),
        random=tuple(_sample_images(digits.test, test, _random(len(test.labels), seed=options.seed))),
        right_by_pixels=pack_right((test.predicted == test.labels)[_order_by_content(digits.test, test)]),
    )


def settings_of(options: TrainOptions, recipe: Recipe) -> dict[str, Value]:
    """Return the options and recipe fields that affect a network."""
    own = options.recorded(Effect.RESULT)
    found = {**own, **overrides.settings(recipe), "augmentation": _ranges(recipe.augmentation)}
    return {name: _plain(value) for name, value in found.items()}


def _ranges(augmentation: Any) -> str | None:
    if augmentation is None:
        return None
    ranges = dataclasses.asdict(augmentation)
    return ", ".join(f"{name} {value:g}" for name, value in ranges.items() if value) or None


def _plain(value: Any) -> Value:
    if value is None or isinstance(value, bool | int | float):
        return value
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def split_metrics(calibrated: Evaluation, uncalibrated: Evaluation, *, threshold: float) -> SplitMetrics:
    """Return the metrics of the predictions on a split."""
    coverage = tuple(
        calibration.coverage_at(calibrated.probabilities, calibrated.labels, each)
        for each in sorted({*THRESHOLDS, threshold})
    )
    confusion = tuple(tuple(row) for row in calibrated.confusion.tolist())
    return SplitMetrics(confusion, _confidence(uncalibrated), _confidence(calibrated), coverage)


def _confidence(found: Evaluation) -> Confidence:
    measured = calibration.measure(found.probabilities, found.labels)
    return Confidence(measured, tuple(_bins(found)))


def _bins(found: Evaluation) -> Iterator[ReliabilityBin]:
    confidence, right = found.confidence.astype(np.float64), found.predicted == found.labels
    places = calibration.bin_of(confidence, calibration.ECE_BINS)
    sums = (
        np.bincount(places, weights=weights, minlength=calibration.ECE_BINS)
        for weights in (None, confidence, right)
    )
    for images, total, answered in zip(*sums, strict=True):
        yield ReliabilityBin(int(images), float(total), int(answered))


def _most_confident_mistakes(found: Evaluation) -> np.ndarray:
    wrong = np.flatnonzero(found.predicted != found.labels)
    return wrong[np.argsort(-found.confidence[wrong], kind="stable")][:MAX_MISTAKEN]


def _evenly_sampled(labels: np.ndarray) -> np.ndarray:
    """Return indices of evenly spaced images of each digit, by digit."""
    chosen = []
    for digit in range(CLASSES):
        indices = np.flatnonzero(labels == digit)
        if len(indices):
            chosen.append(indices[evenly_spaced(len(indices), MAX_SAMPLES)])
    return np.concatenate(chosen)


def _random(images: int, *, seed: int) -> np.ndarray:
    """Return the indices of images chosen at random, independent of the predictions, ascending."""
    return np.sort(np.random.default_rng(seed).choice(images, min(MAX_RANDOM, images), replace=False))


def _order_by_content(split: Split, found: Evaluation) -> list[int]:
    """Return the indices of the predictions in an order that only depends on the images and their labels."""
    # Image by image, and only its hash: mapped images may not fit the memory.
    hashes = [
        hashlib.sha256(split.images[image].tobytes() + bytes((label,))).digest()
        for image, label in zip(found.images.tolist(), found.labels.tolist(), strict=True)
    ]
    return sorted(range(len(hashes)), key=hashes.__getitem__)


def _self_confidence(calibrated: Mapping[str, Evaluation]) -> SelfConfidence:
    """Return the network's mean probability of the label, by digit, on images it was not trained on."""
    sums, images = np.zeros(CLASSES), np.zeros(CLASSES, np.int64)
    for name, found in calibrated.items():
        if name != "train":
            own = found.probabilities[np.arange(len(found.labels)), found.labels]
            sums += np.bincount(found.labels, weights=own, minlength=CLASSES)
            images += np.bincount(found.labels, minlength=CLASSES)
    return SelfConfidence.of(sums.tolist(), images.tolist())


def _label_suspects(
    digits: Digits, calibrated: Mapping[str, Evaluation], known: SelfConfidence
) -> list[SampleImage]:
    splits = {"test": digits.test, "validation": digits.validation}
    mistakes = [
        image
        for name, split in splits.items()
        if split is not None and name in calibrated
        for image in _sample_images(
            split, calibrated[name], _most_confident_mistakes(calibrated[name])[:MAX_SUSPECTS], name=name
        )
    ]
    return known.rank(mistakes)[:MAX_SUSPECTS]


def _sample_images(
    split: Split, found: Evaluation, indices: np.ndarray, *, name: str = "test"
) -> Iterator[SampleImage]:
    for index, image in zip(indices.tolist(), found.images[indices].tolist(), strict=True):
        second, digit = np.argsort(found.probabilities[index], kind="stable")[-2:].tolist()
        yield SampleImage(
            image=image,
            label=int(found.labels[index]),
            # Among equal probabilities, the first digit is predicted.
            digit=int(found.predicted[index]),
            confidence=round(float(found.confidence[index]), 6),
            second_digit=second if digit == found.predicted[index] else digit,
            png=inline_png(split.images[image]),
            split=name,
        )
