import dataclasses
import math

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from pipelines.report.drift import LARGE, MODERATE, Drift, Shift, Spread, compare, stability_index, worst
from pipelines.report.drift_words import sentence, verdict
from schemas.model.model_card import ModelCard

EVEN = (100.0,) * 10
COUNTS = st.lists(st.integers(0, 1000), min_size=4, max_size=4).filter(any)


def spread(digits: tuple[float, ...] = EVEN, *, images: int = 1000) -> Spread:
    return Spread(images, digits, (*(0,) * 19, images), (784 * images, *(0,) * 19))


def test_the_index_is_the_sum_over_bins() -> None:
    expected = (0.5 - 0.25) * math.log(0.5 / 0.25) + (0.5 - 0.75) * math.log(0.5 / 0.75)
    assert stability_index((50, 50), (25, 75)) == pytest.approx(expected)


@given(COUNTS, COUNTS)
def test_it_is_symmetric_never_negative_and_zero_of_the_same(here: list[int], there: list[int]) -> None:
    assert stability_index(here, there) == pytest.approx(stability_index(there, here))
    assert stability_index(here, there) >= 0
    assert stability_index(here, [10 * count for count in here]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("index", "noise", "shift"),
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
def test_what_an_index_means(index: float | None, noise: float, shift: Shift) -> None:
    assert Drift("digits", index, noise).shift is shift


@pytest.mark.parametrize(("here", "there"), [(50, 60_000), (1000, 1000), (10**6, 10**6)])
def test_noise_is_a_quantile_of_chi_squared(here: int, there: int) -> None:
    digits, *_ = compare(spread(images=here), spread(images=there))
    assert digits.noise == pytest.approx(scipy.stats.chi2.ppf(0.95, 9) * (1 / here + 1 / there), rel=0.01)


def test_alike_images_are_said_to_be_alike() -> None:
    drifts = compare(spread(), spread())
    assert worst(drifts) is Shift.STABLE
    assert "are like those of the training set" in sentence(
        drifts, spread(), spread(), whose="the training set"
    )


def test_a_digit_that_takes_over_is_named() -> None:
    here = spread((10.0, 910.0, *(10.0,) * 8))
    drifts = compare(here, spread())
    said = sentence(drifts, here, spread(), whose="the previous run")
    assert worst(drifts) is Shift.LARGE
    assert "differ from those of the previous run in predicted digits" in said
    assert "The digit 1 makes 91.0" in said
    assert [verdict(drift) for drift in drifts] == ["large shift", "stable", "stable"]


def test_of_a_few_images_nothing_is_said() -> None:
    here = spread((3.0, 1.0, *(0.0,) * 8), images=4)
    drifts = compare(dataclasses.replace(here, confidences=(0,) * 20, grey_levels=(0,) * 20), spread())
    assert drifts[0].noise > drifts[0].index > MODERATE
    assert worst(drifts) is Shift.UNKNOWN
    assert [verdict(drift) for drift in drifts] == ["too few images to tell", *["cannot be told"] * 2]
    assert "there are too few of them" in sentence(drifts, here, spread(), whose="the training set")


def test_a_card_is_the_training_sets_spread(card: ModelCard) -> None:
    there = Spread.of_training(card)
    assert there.images == sum(card.class_counts)
    assert there.grey_levels == card.pixel_histogram


@pytest.mark.parametrize("rows", [None, b"none,0,1,3\n", b"", b"digits,0,1,3\n"])
def test_what_are_no_distributions_is_refused(rows: bytes | None) -> None:
    data = b"" if rows is None else b"measure,low,high,count\n" + rows
    with pytest.raises(ValueError, match=r"distributions have|a measure is"):
        Spread.from_csv(data)
