import dataclasses
import math

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from pipelines.report.drift import (
    LARGE,
    MODERATE,
    Distributions,
    Drift,
    DriftComparison,
    Shift,
    measure_drift,
    population_stability_index,
)
from schemas.model.model_card import ModelCard

EVEN = (100.0,) * 10
COUNTS = st.lists(st.integers(0, 1000), min_size=4, max_size=4).filter(any)


def make_distributions(digits: tuple[float, ...] = EVEN, *, images: int = 1000) -> Distributions:
    return Distributions(images, digits, (*(0,) * 19, images), (784 * images, *(0,) * 19))


def test_the_index_is_the_sum_over_bins() -> None:
    expected = (0.5 - 0.25) * math.log(0.5 / 0.25) + (0.5 - 0.75) * math.log(0.5 / 0.75)
    assert population_stability_index((50, 50), (25, 75)) == pytest.approx(expected)


@given(COUNTS, COUNTS)
def test_the_index_is_symmetric_not_negative_and_zero_for_equal_shares(a: list[int], b: list[int]) -> None:
    assert population_stability_index(a, b) == pytest.approx(population_stability_index(b, a))
    assert population_stability_index(a, b) >= 0
    assert population_stability_index(a, [10 * count for count in a]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("index", "chance_level", "shift"),
    [
        (0.0, 0.01, Shift.STABLE),
        (MODERATE - 1e-9, 0.01, Shift.STABLE),
        (MODERATE, 0.01, Shift.MODERATE),
        (LARGE - 1e-9, 0.01, Shift.MODERATE),
        (LARGE, 0.01, Shift.LARGE),
        (0.2, 0.3, Shift.UNKNOWN),
        (0.05, 0.3, Shift.STABLE),
        (0.4, 0.3, Shift.LARGE),
        (None, math.inf, Shift.UNKNOWN),
    ],
)
def test_shift_of_an_index(index: float | None, chance_level: float, shift: Shift) -> None:
    assert Drift("digits", index, chance_level).shift is shift


@pytest.mark.parametrize(("n", "m"), [(50, 60_000), (1000, 1000), (10**6, 10**6)])
def test_the_chance_level_is_a_quantile_of_chi_squared(n: int, m: int) -> None:
    digits, *_ = measure_drift(make_distributions(images=n), make_distributions(images=m))
    assert digits.chance_level == pytest.approx(scipy.stats.chi2.ppf(0.95, 9) * (1 / n + 1 / m), rel=0.01)


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
    assert [meaning for *_, meaning in comparison.rows()] == ["large shift", "stable", "stable"]


def test_few_images_give_no_verdict() -> None:
    few = make_distributions((3.0, 1.0, *(0.0,) * 8), images=4)
    current = dataclasses.replace(few, confidences=(0,) * 20, grey_levels=(0,) * 20)
    comparison = DriftComparison.of(current, make_distributions(), name="the training set")
    digits = comparison.drifts[0]
    assert digits.index is not None
    assert digits.chance_level > digits.index > MODERATE
    assert comparison.shift is Shift.UNKNOWN
    meanings = [meaning for *_, meaning in comparison.rows()]
    assert meanings == ["too few images to tell", *["unknown"] * 2]
    assert "too few images to tell whether" in comparison.summary


def test_a_card_has_the_distributions_of_its_training_set(card: ModelCard) -> None:
    training = Distributions.from_card(card)
    assert training.images == sum(card.class_counts)
    assert training.grey_levels == card.pixel_histogram


@pytest.mark.parametrize("rows", [None, b"none,0,1,3\n", b"", b"digits,0,1,3\n"])
def test_a_damaged_distributions_file_is_refused(rows: bytes | None) -> None:
    data = b"" if rows is None else b"measure,low,high,count\n" + rows
    with pytest.raises(ValueError, match=r"distributions|measure"):
        Distributions.from_csv(data)
