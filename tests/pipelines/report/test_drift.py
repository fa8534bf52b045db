import dataclasses
import math

import numpy as np
import pytest

from digitmill.default_model import SHIPPED_MODEL
from digitmill.engines.bundle_loader import open_bundle
from digitmill.reports.csv_table import encode_csv
from digitmill.reports.numbers import NONE
from pipelines.report.drift import (
    DISTRIBUTIONS_HEADER,
    LARGE,
    MODERATE,
    SLIGHT,
    Distributions,
    Drift,
    DriftComparison,
    Shift,
)
from schemas.model.ink_counts import INK_BINS, UPPER_BOUNDS, InkCounts
from schemas.model.model_card import ModelCard

EVEN = (100.0,) * 10


def make_distributions(digits: tuple[float, ...] = EVEN, *, images: int = 1000) -> Distributions:
    return Distributions(images, digits, (*(0,) * 19, images), (784 * images, *(0,) * 19))


@pytest.mark.parametrize(
    ("index", "chance_level", "shift"),
    [
        (0.0, 0.01, Shift.STABLE),
        (SLIGHT - 1e-9, 0.01, Shift.STABLE),
        (SLIGHT, 0.01, Shift.SLIGHT),
        (MODERATE - 1e-9, 0.01, Shift.SLIGHT),
        (MODERATE, 0.01, Shift.MODERATE),
        (LARGE - 1e-9, 0.01, Shift.MODERATE),
        (LARGE, 0.01, Shift.LARGE),
        (0.0, 0.3, Shift.UNKNOWN),
        (0.0, MODERATE - 1e-9, Shift.STABLE),
        (0.05, 0.3, Shift.SLIGHT),
        (0.4, 0.3, Shift.LARGE),
        (None, math.inf, Shift.UNKNOWN),
    ],
)
def test_shift_of_an_index(index: float | None, chance_level: float, shift: Shift) -> None:
    assert Drift("digits", index, chance_level).shift is shift


def test_equal_distributions_are_stable() -> None:
    comparison = DriftComparison.of(make_distributions(), make_distributions(), name="the training set")
    assert comparison.shift is Shift.STABLE
    assert "are like those of the training set" in comparison.summary


def test_the_digit_that_changed_most_is_named() -> None:
    current = make_distributions((10.0, 910.0, *(10.0,) * 8))
    comparison = DriftComparison.of(current, make_distributions(), name="the previous run")
    assert comparison.shift is Shift.LARGE
    assert "differ from those of the previous run in predicted digits" in comparison.summary
    assert "The digit 1 makes 91.0" in comparison.summary
    meanings = [meaning for *_, meaning in comparison.rows()]
    assert meanings == ["large shift", "stable", "stable", "unknown: one side does not state it"]


def test_few_images_give_no_verdict() -> None:
    few = make_distributions((3.0, 1.0, *(0.0,) * 8), images=4)
    current = dataclasses.replace(few, confidences=(0,) * 20, gray_levels=(0,) * 20)
    comparison = DriftComparison.of(current, make_distributions(), name="the training set")
    digits = comparison.drifts[0]
    assert digits.index is not None
    assert digits.chance_level > MODERATE
    assert comparison.shift is Shift.UNKNOWN
    assert comparison.figure == 0
    meanings = [meaning for *_, meaning in comparison.rows()]
    assert meanings[:-1] == ["too few images to tell", *["unknown"] * 2]
    assert "too few images to tell whether they are like those of the training set" in comparison.summary


def test_ten_images_that_have_nothing_of_the_reference_are_a_large_shift() -> None:
    unsure = dataclasses.replace(make_distributions((1.0,) * 10, images=10), confidences=(10, *(0,) * 19))
    comparison = DriftComparison.of(unsure, make_distributions(images=60_000), name="the training set")
    assert comparison.shift is Shift.LARGE
    assert comparison.figure is not None
    assert comparison.figure > LARGE


def test_a_slight_shift_is_said_to_be_slight() -> None:
    moved = dataclasses.replace(make_distributions(images=10**6), confidences=(*(0,) * 18, 20_000, 980_000))
    reference = dataclasses.replace(moved, confidences=(*(0,) * 18, 8_000, 992_000))
    comparison = DriftComparison.of(moved, reference, name="the previous run")
    assert comparison.shift is Shift.SLIGHT
    assert comparison.figure == pytest.approx(0.012 * math.log(2.5), rel=0.05)
    assert "differ slightly from those of the previous run in confidence (0.011)" in comparison.summary


def test_what_cannot_be_compared_has_no_figure() -> None:
    nothing = Distributions(0, (0,) * 10, (0,) * 20, (0,) * 20)
    comparison = DriftComparison.of(nothing, make_distributions(), name="the training set")
    assert comparison.figure is None
    assert comparison.shift is Shift.UNKNOWN


def draw(shares: np.ndarray, images: int, rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(rng.multinomial(images, shares / shares.sum()).tolist())


def draw_like(card: ModelCard, images: int, rng: np.random.Generator) -> Distributions:
    digits, confidences = (
        draw(np.array(found), images, rng) for found in (card.class_counts, card.confidence_histogram)
    )
    return Distributions(images, digits, confidences, (0,) * 20)


@pytest.mark.slow
@pytest.mark.parametrize("images", [10, 30, 100, 1_000, 10_000, 10**5, 10**7])
def test_without_drift_at_most_one_run_in_a_hundred_has_a_shift(images: int) -> None:
    card = open_bundle(SHIPPED_MODEL).card
    rng = np.random.default_rng(images)
    runs, reference_images = 300, sum(card.class_counts)
    shifted = sum(
        DriftComparison.of(
            draw_like(card, images, rng), draw_like(card, reference_images, rng), name="it"
        ).figure
        != 0
        for _ in range(runs)
    )
    # With a probability of 1 % each, more than nine of 300 are as rare as one in a thousand.
    assert shifted <= 9


def test_images_without_drift_and_few_images_are_no_shift() -> None:
    card = open_bundle(SHIPPED_MODEL).card
    rng = np.random.default_rng(1)
    training = Distributions.from_card(card)
    shifts = [
        DriftComparison.of(draw_like(card, images, rng), training, name="it").shift
        for images in (20, 50, 100, 2_000)
    ]
    assert not {Shift.SLIGHT, Shift.MODERATE, Shift.LARGE}.intersection(shifts)


def test_a_card_has_the_distributions_of_its_training_set(card: ModelCard) -> None:
    training = Distributions.from_card(card)
    assert training.images == sum(card.class_counts)
    assert training.gray_levels == card.pixel_histogram
    assert training.images_of("confidences") == training.images
    assert training.ink == card.ink


def test_an_older_card_says_nothing_about_ink(card: ModelCard) -> None:
    older = Distributions.from_card(dataclasses.replace(card, ink=None))
    assert older.ink.images == 0
    comparison = DriftComparison.of(older, Distributions.from_card(card), name="the training set")
    assert [*comparison.rows()][-1] == ("shape of the ink", NONE, "unknown: one side does not state it")
    assert comparison.shift is Shift.STABLE


def test_of_a_very_large_training_set_the_confidences_are_those_of_a_sample(card: ModelCard) -> None:
    large = Distributions.from_card(dataclasses.replace(card, class_counts=(100_000,) * 10))
    assert large.images_of("confidences") == 200_000
    assert large.images_of("digits") == 1_000_000


def test_digits_of_another_kind_shift_the_shape_of_the_ink() -> None:
    counts = dict.fromkeys(UPPER_BOUNDS, (500, 500, *((0,) * (INK_BINS - 2))))
    reference = dataclasses.replace(make_distributions(), ink=InkCounts(**counts))
    moved = InkCounts(**counts | {"stroke_widths": (100, 900, *(0,) * (INK_BINS - 2))})
    comparison = DriftComparison.of(
        dataclasses.replace(reference, ink=moved), reference, name="the training set"
    )
    assert comparison.shift is Shift.LARGE
    assert "differ from those of the training set in stroke width (0." in comparison.summary
    shifts = {drift.measure: drift.shift for drift in comparison.drifts}
    assert shifts.pop("stroke_widths") is Shift.LARGE
    assert set(shifts.values()) == {Shift.STABLE}


def test_distributions_are_read_as_they_were_written_with_ink_or_without() -> None:
    ink = InkCounts(**dict.fromkeys(UPPER_BOUNDS, (*((0,) * (INK_BINS - 1)), 1000)))
    found = dataclasses.replace(make_distributions(), ink=ink)
    rows = [DISTRIBUTIONS_HEADER, *found.rows()]
    assert Distributions.from_csv(encode_csv(rows)) == found
    older = [row for row in rows if row[0] not in UPPER_BOUNDS]
    assert Distributions.from_csv(encode_csv(older)) == make_distributions()


@pytest.mark.parametrize("rows", [None, b"none,0,1,3\n", b"", b"digits,0,1,3\n"])
def test_a_damaged_distributions_file_is_refused(rows: bytes | None) -> None:
    data = b"" if rows is None else b"measure,low,high,count\n" + rows
    with pytest.raises(ValueError, match=r"distributions|measure"):
        Distributions.from_csv(data)
