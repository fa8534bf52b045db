from hypothesis import given
from hypothesis import strategies as st

from trainer.loop.steps import StepScheduler


@given(st.integers(1, 100_000), st.lists(st.floats(0, 100), max_size=30))
def test_a_chunk_has_at_least_one_step_and_at_most_a_tenth_of_an_epoch(steps, times):
    scheduler = StepScheduler(steps)
    for seconds in [0.0, *times]:
        assert 1 <= scheduler.num_steps <= max(1, -(-steps // 10))
        scheduler.record(seconds)


def test_fast_chunks_grow():
    scheduler = StepScheduler(10_000)
    for _ in range(20):
        scheduler.record(0.01)
    assert scheduler.num_steps == 1_000


def test_slow_chunks_shrink_to_single_steps():
    scheduler = StepScheduler(10_000)
    for _ in range(20):
        scheduler.record(60.0)
    assert scheduler.num_steps == 1


def test_a_chunk_of_the_right_duration_stays():
    scheduler = StepScheduler(10_000)
    before = scheduler.num_steps
    scheduler.record(1.5)
    assert scheduler.num_steps == before
