from hypothesis import given
from hypothesis import strategies as st

from trainer.loop.step_scheduler import Pace


@given(st.integers(1, 100_000), st.lists(st.floats(0, 100), max_size=30))
def test_a_stretch_is_at_least_a_step_and_at_most_a_tenth_of_an_epoch(steps, times):
    pace = Pace(steps)
    for seconds in [0.0, *times]:
        assert 1 <= pace.stretch <= max(1, -(-steps // 10))
        pace.took(seconds)


def test_fast_stretches_become_long_ones():
    pace = Pace(10_000)
    for _ in range(20):
        pace.took(0.01)
    assert pace.stretch == 1_000


def test_slow_stretches_become_single_steps():
    pace = Pace(10_000)
    for _ in range(20):
        pace.took(60.0)
    assert pace.stretch == 1


def test_a_stretch_of_the_right_length_stays():
    pace = Pace(10_000)
    before = pace.stretch
    pace.took(1.5)
    assert pace.stretch == before
