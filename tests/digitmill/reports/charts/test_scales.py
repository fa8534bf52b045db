import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.reports.charts.scales import Linear, Logarithmic, LogarithmicCounts, Scale


@pytest.mark.parametrize(
    ("scale", "ticks"),
    [
        (Linear(0, 1.03), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (Linear(0.65, 1, most=8), [0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1]),
        (Linear(0.998, 1.0004), [0.998, 0.9985, 0.999, 0.9995, 1]),
        (Linear(0, 255), [0, 50, 100, 150, 200, 250]),
        (Linear(0.95, 3.05, whole=True), [1, 2, 3]),
        (Linear(0.05, 20.95, whole=True), [5, 10, 15, 20]),
        (Logarithmic(0.003, 1.2), [0.01, 0.1, 1]),
        (LogarithmicCounts(750), [0, 1, 10, 100]),
        (LogarithmicCounts(15), [0, 1, 10]),
    ],
)
def test_ticks_are_round_numbers(scale: Scale, ticks: list[float]) -> None:
    assert scale.ticks() == pytest.approx(ticks)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(3, 9))
def test_a_linear_scale_has_few_ticks_and_all_lie_on_it(low: float, span: float, most: int) -> None:
    scale = Linear(low, low + span, most=most)
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= most
    slack = span * 1e-6 + 2 * math.ulp(abs(low) + span)  # no tick is finer than a float
    assert all(low - slack <= tick <= low + span + slack for tick in ticks)
    gaps = [b - a for a, b in itertools.pairwise(ticks)]
    assert all(gap == pytest.approx(gaps[0], rel=1e-3) for gap in gaps)


@pytest.mark.parametrize("scale", [Linear(-3, 9), Logarithmic(1e-5, 1.2), LogarithmicCounts(1e6)])
@given(values=st.lists(st.floats(-10, 1e7), min_size=2))
def test_larger_values_never_lie_lower_and_none_lies_outside(scale: Scale, values: list[float]) -> None:
    places = [scale.place(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(0 <= place <= 1 for place in places)
    assert (scale.place(scale.low), scale.place(scale.high)) == (0, 1)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_a_scale_around_values_has_room_on_either_side(values: list[float]) -> None:
    scale = Linear.around(*values)
    assert scale.low < min(values)
    assert scale.high > max(values)


def test_counts_are_linear_up_to_two_and_then_by_powers_of_ten() -> None:
    scale = LogarithmicCounts(1000)
    assert scale.place(2) == pytest.approx(2 * scale.place(1))
    assert scale.place(1000) - scale.place(100) == pytest.approx(scale.place(100) - scale.place(10))
