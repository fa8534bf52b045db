import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.statistics.totals import ExactSum, RunningTotal

FLOATS = st.floats(-1e200, 1e200)


@dataclasses.dataclass(frozen=True)
class Pair:
    count: int
    shares: tuple[float, ...]


@given(st.lists(FLOATS))
def test_a_sum_is_rounded_once(numbers: list[float]) -> None:
    whole = ExactSum()
    for number in numbers:
        whole.add(number)
    assert whole.value == math.fsum(numbers)


@given(st.lists(st.tuples(st.integers(), FLOATS, FLOATS), min_size=1))
def test_records_are_added_up_place_by_place(rows: list[tuple[int, float, float]]) -> None:
    running = RunningTotal()
    for count, first, second in rows:
        running.add((count, Pair(count, (first, second))))
    counts, firsts, seconds = zip(*rows, strict=True)
    expected = Pair(sum(counts), (math.fsum(firsts), math.fsum(seconds)))
    assert running.value() == (sum(counts), expected)


@pytest.mark.parametrize("other", [(1,), (1, 2, 3)])
def test_records_that_are_not_alike_are_refused(other: tuple[int, ...]) -> None:
    running = RunningTotal()
    running.add((1, 2))
    with pytest.raises(ValueError, match="different numbers"):
        running.add(other)
