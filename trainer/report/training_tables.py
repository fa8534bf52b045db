"""The tables of a run's page: key figures, digits, calibration, exports, settings."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from digitmill.reports.charts.intervals import interval_note
from digitmill.reports.numbers import (
    NONE,
    Cell,
    count_cell,
    duration,
    fraction,
    share,
    share_cell,
    thousands,
    threshold,
)
from digitmill.reports.precision_recall import class_rates
from schemas.digit import CLASSES, NOT_A_DIGIT
from schemas.model.model_card import ModelCard
from schemas.model.trust import Calibration, Trust
from trainer.report.record import RunRecord, SplitMetrics, Value
from trainer.run.history import Epoch, best_epoch

Words = tuple[str, ...]
"""A row of a table; the first row has the titles."""

DIGIT_COLUMNS: Final = (
    "Digit", "Test images", "Right", "Wrong", "Precision", "Recall", "F1", "Most often taken for"
)  # fmt: skip
"""Titles of `digit_cells`."""


def facts(card: ModelCard, record: RunRecord, epochs: Sequence[Epoch]) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and note of each key figure."""
    yield "Test accuracy", share(card.test_accuracy.value), interval_note(card.test_accuracy)
    if card.validation_accuracy is not None:
        yield (
            "Validation accuracy",
            share(card.validation_accuracy.value),
            interval_note(card.validation_accuracy),
        )
    accepted = record.answers["test"].at(card.accept_threshold)
    at = f"of the test images, confidence of {threshold(card.accept_threshold)} or more"
    yield "Accepted", share(accepted.coverage), f"{at}; {share(accepted.accuracy)} of them right"
    found = record.answers["test"]
    before = fraction(found.uncalibrated.measured.ece, 2)
    how = (
        f"{before} before the temperature {card.temperature:.3f}"
        if card.temperature != 1
        else "no temperature"
    )
    yield "Calibration error", fraction(found.calibrated.measured.ece, 2), f"expected, on test images; {how}"
    yield "Training time", duration(card.train_seconds), _training_note(card, record, epochs)
    counts = {
        name: thousands(sum(found) + record.not_digits.get(name, 0))
        for name, found in record.class_counts.items()
    }
    others = ", ".join(f"{count} {name}" for name, count in counts.items() if name != "train")
    yield "Training images", counts["train"], f"and {others} images"


def _training_note(card: ModelCard, record: RunRecord, epochs: Sequence[Epoch]) -> str:
    done = len(epochs) or card.epochs
    text = f"{thousands(done)} epoch{'s' if done > 1 else ''}"
    if record.members:
        text += f" of {len(record.members)} members"
    elif done > 1 and (best := best_epoch(epochs)):
        text += f", the best on validation {thousands(best)}"
    pace = f"; {thousands(card.images_per_second)} images/s" if card.images_per_second else ""
    return f"{text}; batches of {thousands(card.batch)}{pace}"


def digit_cells(test: SplitMetrics) -> Iterator[list[Cell]]:
    """Yield each digit's row: precision, recall, and its most frequent confusion."""
    for digit, rates in enumerate(class_rates(test.confusion)):
        wrong = rates.labeled - rates.right
        others = [(count, other) for other, count in enumerate(test.confusion[digit]) if other != digit]
        count, other = max(others, key=lambda found: found[0])
        yield [
            (str(digit), float(digit)),
            *(count_cell(float(count)) for count in (rates.labeled, rates.right, wrong)),
            *map(share_cell, (rates.precision, rates.recall, rates.f1)),
            (f"{other} ({thousands(count)}×)", float(count)) if count else (NONE, 0.0),
        ]


def class_cells(record: RunRecord) -> Iterator[list[Cell]]:
    """Yield each digit's row with its images per split; the last row counts pictures of no digit."""
    counts = record.class_counts
    for digit in range(CLASSES):
        found = (counted[digit] for counted in counts.values())
        yield [(str(digit), float(digit)), *(count_cell(float(count)) for count in found)]
    if record.not_digits:
        found = (record.not_digits.get(name, 0) for name in counts)
        yield [("none", float(NOT_A_DIGIT)), *(count_cell(float(count)) for count in found)]


def calibration_rows(record: RunRecord, temperature: float) -> Iterator[Words]:
    """Yield the calibration by split, without and with the temperature."""
    yield "Images", "Expected error", "Brier score", "Log loss"
    for name, found in record.answers.items():
        if temperature != 1:
            yield f"{name}, no temperature", *_measured(found.uncalibrated.measured)
        yield name, *_measured(found.calibrated.measured)


def _measured(found: Calibration) -> Words:
    return tuple(f"{value:.4f}" for value in (found.ece, found.brier, found.log_loss))


def out_of_distribution_rows(trust: Trust | None) -> Iterator[Words]:
    """Yield results on out-of-distribution images by kind, then on the data's own pictures of no digit."""
    yield "What was shown", "Pictures", "Found blank", "Accepted", "Share accepted"
    for kind, row in (trust.unfamiliar if trust else {}).items():
        counts = (thousands(count) for count in (row.images, row.blank, row.accepted))
        yield kind.replace("_", " "), *counts, share(row.share)
    for name, found in (trust.not_digits if trust else {}).items():
        yield (
            f"of the {name} data",
            thousands(found.images),
            NONE,
            thousands(found.accepted),
            share(found.share),
        )


def export_rows(card: ModelCard) -> Iterator[Words]:
    """Yield a row for each of the bundle's model formats."""
    yield "Format", "Bytes", "Accuracy", "Images/s", "Differs by"
    for row in card.exports:
        numbers = thousands(row.bytes), share(row.accuracy.value), thousands(row.images_per_second)
        mark = ", the default on CPUs" if row.name == card.litert_model else ""
        yield f"{row.name}{mark}", *numbers, fraction(row.difference, 1)


def member_rows(record: RunRecord) -> Iterator[Words]:
    """Yield an ensemble's members, in the order of the curves."""
    yield "Member", "Recipe", "Seed", "Test accuracy", "Interval", "Epochs here"
    for number, member in enumerate(record.members, start=1):
        found = member.accuracy
        low, high = (share(bound) for bound in found.interval)
        epochs = thousands(member.epochs) if member.epochs else NONE
        seed = str(member.seed)
        yield str(number), member.recipe, seed, share(found.value), f"{low} to {high}", epochs


def settings_rows(settings: Mapping[str, Value]) -> Iterator[tuple[str, str]]:
    """Yield names and values of the settings as text."""
    for name, value in settings.items():
        yield name.replace("_", " "), setting(value)


def setting(value: Value) -> str:
    """Return a setting as text; a dash if unset."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
