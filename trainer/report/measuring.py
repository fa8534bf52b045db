"""Makes a run's record from its network's answers."""

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from digitmill.reports.charts.acceptance import ReliabilityBin
from digitmill.reports.gallery import inline_png
from schemas.digit import CLASSES
from trainer.data.splits import Digits, Split
from trainer.metrics import calibration
from trainer.metrics.measures import Evaluation
from trainer.recipes.parts import overrides
from trainer.recipes.parts.recipe import Recipe
from trainer.report.record import Answers, Confidence, Member, RunRecord, ShownImage, Value
from trainer.train_options import TrainOptions

MISTAKEN: Final = 48
"""Wrong answers that are kept; the page says how many there are."""

DOUBTFUL: Final = 24
SAMPLED: Final = 6
"""Of each digit."""

THRESHOLDS: Final = tuple(
    sorted(
        {step / 100 for step in range(100)}
        | {round(1 - step * 10**-place, 6) for place in range(3, 7) for step in range(1, 10)}
    )
)
"""Round ones, the nearer to 1 the closer: a good network gives most images more than 0.999."""

_OF_NO_MATTER: Final = frozenset(
    ("output", "resume", "member", "checkpoint_steps", "data_dir", "cache_dir", "max_bad_rate")
)
"""Options that make no other network; an ensemble's members are recorded by themselves."""


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
    """Returns the record of a run.

    Args:
        options: the job's.
        recipe: as the options changed it.
        digits: what it was trained on.
        uncalibrated: the network's answers by split, without the temperature.
        calibrated: with it.
        threshold: the accept threshold.
        learning_rates: step and learning rate.
        members: of an ensemble.
    """
    test = calibrated["test"]
    return RunRecord(
        finished=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        settings=settings_of(options, recipe),
        class_counts={name: found.class_counts for name, found in digits.census().items()},
        learning_rates=tuple(learning_rates),
        answers={
            name: count_answers(found, uncalibrated[name], threshold=threshold)
            for name, found in calibrated.items()
            if name != "train"
        },
        mistaken=tuple(_shown(digits.test, test, _mistaken(test))),
        doubtful=tuple(_shown(digits.test, test, np.argsort(test.confidence, kind="stable")[:DOUBTFUL])),
        sample=tuple(_shown(digits.test, test, _sampled(test.labels))),
        members=tuple(members),
    )


def settings_of(options: TrainOptions, recipe: Recipe) -> dict[str, Value]:
    """Returns what a network depends on: the options, and the recipe as it is with them."""
    own = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(options)
        if field.name not in _OF_NO_MATTER and field.name not in overrides.FIELDS
    }
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


def count_answers(calibrated: Evaluation, uncalibrated: Evaluation, *, threshold: float) -> Answers:
    """Returns the answers on a split, counted.

    Args:
        calibrated: with the temperature.
        uncalibrated: without it.
        threshold: the accept threshold.
    """
    thresholds = sorted({*THRESHOLDS, threshold})
    coverage = calibration.coverage_at(calibrated.probabilities, calibrated.labels, thresholds)
    confusion = tuple(tuple(row) for row in calibrated.confusion.tolist())
    return Answers(confusion, _confidence(uncalibrated), _confidence(calibrated), tuple(coverage))


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


def _mistaken(found: Evaluation) -> np.ndarray:
    wrong = np.flatnonzero(found.predicted != found.labels)
    return wrong[np.argsort(-found.confidence[wrong], kind="stable")][:MISTAKEN]


def _sampled(labels: np.ndarray) -> np.ndarray:
    """Returns the places of some images of each digit, evenly chosen, the digits in order."""
    chosen = []
    for digit in range(CLASSES):
        there = np.flatnonzero(labels == digit)
        if len(there):
            chosen.append(there[np.linspace(0, len(there) - 1, min(SAMPLED, len(there))).astype(int)])
    return np.concatenate(chosen)


def _shown(split: Split, found: Evaluation, places: np.ndarray) -> Iterator[ShownImage]:
    for place in places.tolist():
        second, digit = np.argsort(found.probabilities[place], kind="stable")[-2:].tolist()
        yield ShownImage(
            image=place,
            label=int(split.labels[place]),
            # Of equal probabilities the first is the answer.
            digit=int(found.predicted[place]),
            confidence=round(float(found.confidence[place]), 6),
            second_digit=second if digit == found.predicted[place] else digit,
            png=inline_png(split.images[place]),
        )
