import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from digitmill.confidence.exact_bounds import (
    exact_interval,
    images_needed,
    lower_bound,
    upper_bound,
    weighted_interval,
)


@given(st.integers(0, 50), st.integers(0, 2_000), st.floats(0.001, 0.5))
def test_the_interval_is_that_of_clopper_and_pearson(wrong: int, right: int, delta: float) -> None:
    images = wrong + right
    if not images:
        assert exact_interval(0, 0, delta) == (0, 1)
        return
    expected = binomtest(wrong, images).proportion_ci(1 - delta, method="exact")
    assert exact_interval(wrong, images, delta) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert lower_bound(wrong, images, delta) <= wrong / images <= upper_bound(wrong, images, delta)


@given(st.integers(0, 30), st.floats(0.0005, 0.5), st.floats(0.001, 0.5))
def test_one_image_fewer_would_not_be_enough(wrong: int, rate: float, delta: float) -> None:
    needed = images_needed(wrong, rate, delta)
    assert upper_bound(wrong, needed, delta) <= rate * (1 + 1e-9)
    if needed > max(1, wrong):
        assert upper_bound(wrong, needed - 1, delta) > rate * (1 - 1e-9)


def test_2995_right_answers_show_999_of_1000() -> None:
    # ln(0.05) / ln(0.999), the rule of three.
    assert images_needed(0, 0.001, 0.05) == 2_995
    assert images_needed(0, 0.01, 0.05) == 299


def test_a_weighted_interval_misses_the_rate_as_seldom_as_it_says() -> None:
    draws = np.random.default_rng(0)
    weights, labeled = np.array([0.6, 0.3, 0.1]), np.array([200, 100, 200])
    rates = np.array([0.01, 0.002, 0.2])
    steps = weights / labeled
    missed = 0
    for wrong in draws.binomial(labeled, rates, (2_000, 3)):
        low, high = weighted_interval(float(wrong @ steps), float(steps.max()), 0.05)
        missed += not low <= float(weights @ rates) <= high
    assert missed <= 0.05 * 2_000


@given(st.integers(0, 40), st.integers(50, 5_000))
def test_of_equal_weights_the_interval_is_a_little_wider_than_the_exact_one(wrong: int, images: int) -> None:
    low, high = weighted_interval(wrong / images, 1 / images, 0.05)
    exact = exact_interval(wrong, images, 0.05)
    assert low <= exact[0] + 1e-9
    assert exact[1] - 1e-9 <= high <= min(1.0, 1.35 * exact[1])
