import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trainer.report.paired_test import PairedTest, against_best, pack_right, unpack_right


@given(st.integers(0, 300), st.integers(0, 300))
def test_p_is_the_exact_binomial_one(first: int, second: int) -> None:
    decided = first + second
    expected = stats.binomtest(first, decided, 0.5).pvalue if decided else 1.0
    assert PairedTest(first, second).p_value == pytest.approx(expected, abs=1e-12)


def test_more_comparisons_find_less() -> None:
    assert PairedTest(20, 7).significant
    assert not PairedTest(20, 7, comparisons=5).significant


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_packed_answers_come_back(right: list[bool]) -> None:
    text = pack_right(np.array(right))
    assert unpack_right(text, len(right)).tolist() == right


def test_too_few_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="expected whether 100 images are right; got 8"):
        unpack_right(pack_right(np.ones(8, bool)), 100)


def test_the_best_is_held_against_each_other_one() -> None:
    best, worse = np.array([True] * 9 + [False]), np.array([True] * 4 + [False] * 5 + [True])
    tests = against_best({"A": worse, "B": best}, "B")
    assert tests == {"A": PairedTest(5, 1)}
    assert tests["A"].row("B", "A") == ("B and A", "5", "1", "0.22", "may be chance")


def test_the_best_is_chosen_on_the_same_images_so_that_all_pairs_count() -> None:
    tests = against_best({name: np.ones(4, bool) for name in "ABCD"}, "B")
    assert {name: test.comparisons for name, test in tests.items()} == {"A": 6, "C": 6, "D": 6}
