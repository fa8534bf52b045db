import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.reports.precision_recall import class_rates

COUNTS = st.lists(st.lists(st.integers(0, 50), min_size=4, max_size=4), min_size=4, max_size=4)


@given(COUNTS)
def test_rates_follow_from_the_matrix(confusion) -> None:
    found = class_rates(confusion)
    assert sum(rates.labeled for rates in found) == sum(rates.taken for rates in found)
    for place, rates in enumerate(found):
        assert rates.right == confusion[place][place]
        assert (rates.precision is None, rates.recall is None) == (rates.taken == 0, rates.labeled == 0)
        if rates.precision and rates.recall:
            harmonic = 2 * rates.precision * rates.recall / (rates.precision + rates.recall)
            assert rates.f1 == pytest.approx(harmonic)


def test_a_class_that_is_always_missed_has_an_f1_of_0_and_an_absent_one_none() -> None:
    missed, answered, absent = class_rates([[0, 3, 0], [0, 2, 0], [0, 0, 0]])
    assert (missed.precision, missed.recall, missed.f1) == (None, 0, 0)
    assert (answered.precision, answered.recall, answered.f1) == (0.4, 1, pytest.approx(4 / 7))
    assert (absent.precision, absent.recall, absent.f1) == (None, None, None)
