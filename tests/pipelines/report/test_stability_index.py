import math

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from pipelines.report.stability_index import chance_bound, group_evenly, population_stability_index

COUNTS = st.lists(st.integers(0, 1000), min_size=4, max_size=4).filter(any).map(tuple)
MANY = (10**9, 10**9)
EVEN = (100.0,) * 10


def test_the_index_is_the_sum_over_bins() -> None:
    expected = (0.5 - 0.25) * math.log(0.5 / 0.25) + (0.5 - 0.75) * math.log(0.5 / 0.75)
    assert population_stability_index((50, 50), (25, 75), sizes=MANY) == pytest.approx(expected)


def test_bins_that_are_empty_in_both_say_nothing() -> None:
    sizes = (20, 60_000)
    index = population_stability_index((18, 2), (50_000, 10_000), sizes=sizes)
    more = population_stability_index((18, 2, 0, 0), (50_000, 10_000, 0, 0), sizes=sizes)
    assert more == pytest.approx(index)


@given(COUNTS, COUNTS)
def test_the_index_is_symmetric_not_negative_and_zero_for_equal_shares(a: tuple, b: tuple) -> None:
    index = population_stability_index(a, b, sizes=MANY)
    assert index == pytest.approx(population_stability_index(b, a, sizes=MANY))
    assert index >= 0
    tenfold = tuple(10 * count for count in a)
    assert population_stability_index(a, tenfold, sizes=MANY) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("n", "m"), [(1_000, 60_000), (1_000, 1_000), (10**6, 10**6), (10**7, 10**5)])
def test_with_many_images_in_every_bin_chance_is_chi_squared(n: int, m: int) -> None:
    bound = chance_bound(EVEN, EVEN, sizes=(n, m), level=0.05)
    assert bound == pytest.approx(scipy.stats.chi2.ppf(0.95, 9) * (1 / n + 1 / m), rel=0.05)


def test_with_few_images_a_large_index_may_be_chance() -> None:
    small, large = (chance_bound(EVEN, EVEN, sizes=(n, 60_000), level=0.01) for n in (20, 2_000))
    assert small > 0.25 > 0.02 > large


@given(st.lists(st.integers(0, 100), min_size=1, max_size=40).filter(any), st.integers(1, 8))
def test_groups_are_neighbors_and_no_more_than_wanted(counts: list[int], groups: int) -> None:
    found = group_evenly(tuple(counts), groups)
    assert len(found) == len(counts)
    assert sorted(found) == list(found)
    assert set(found) == set(range(max(found) + 1))
    assert max(found) < groups


def test_groups_hold_about_equal_shares() -> None:
    assert group_evenly((10,) * 10, 5) == (0, 0, 1, 1, 2, 2, 3, 3, 4, 4)
