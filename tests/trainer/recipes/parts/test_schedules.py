import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.recipes.parts import schedules
from trainer.train_options import SCHEDULES


def rates(name: str, steps: int, peak: float = 0.1) -> list[float]:
    made = schedules.make(name, peak=peak, steps=steps)
    return [float(made if isinstance(made, float) else made(step)) for step in range(steps)]


@pytest.mark.parametrize("name", SCHEDULES)
@given(steps=st.integers(1, 60), peak=st.floats(1e-4, 10))
@settings(max_examples=15, deadline=None)
def test_no_rate_is_negative_or_above_the_peak(name, steps, peak):
    assert all(0 <= rate <= peak * (1 + 1e-5) for rate in rates(name, steps, peak))


def test_a_constant_schedule_is_the_peak():
    assert rates("constant", 5) == [0.1] * 5


@pytest.mark.parametrize(
    ("name", "top", "first", "last"), [("warmup-cosine", 5, 0, 0.001), ("one-cycle", 30, 0.004, 1e-5)]
)
def test_it_rises_to_the_peak_and_falls_from_it(name, top, first, last):
    found = rates(name, 100)
    assert found[0] == pytest.approx(first, abs=1e-6)
    assert found[top] == pytest.approx(0.1)
    assert found[: top + 1] == sorted(found[: top + 1])
    assert found[top:] == sorted(found[top:], reverse=True)
    assert found[-1] == pytest.approx(last, abs=2e-4)


def test_another_name_is_refused():
    with pytest.raises(ValueError, match="use one of constant"):
        schedules.make("step", peak=1.0, steps=1)


@pytest.mark.parametrize("before", [0.5, keras.optimizers.schedules.CosineDecay(0.5, 10)])
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_replaces_the_optimizers_and_is_saved_with_the_model(before, name):
    optimizer = keras.optimizers.SGD(before)
    assert schedules.rate_of(optimizer) == pytest.approx(0.5)
    schedules.set_rate(optimizer, schedules.make(name, peak=0.1, steps=100))
    optimizer.build([keras.Variable([0.0])])
    optimizer.iterations.assign(50)
    copy = keras.optimizers.SGD.from_config(optimizer.get_config())
    copy.iterations.assign(50)
    assert schedules.rate_of(optimizer) == pytest.approx(rates(name, 100)[50])
    assert schedules.rate_of(copy) == pytest.approx(schedules.rate_of(optimizer))


@pytest.mark.parametrize("name", SCHEDULES)
@given(
    steps=st.integers(10, 500), epochs=st.integers(1, 100), factor=st.floats(1, 64), peak=st.floats(1e-4, 1)
)
@settings(max_examples=10, deadline=None)
def test_a_scaled_rate_rises_to_the_multiple_and_never_beyond(name, steps, epochs, factor, peak):
    before = schedules.make(name, peak=peak, steps=steps)
    rate = schedules.scaled(before, factor, steps=steps, epochs=epochs)
    found = [float(rate(step)) for step in range(steps)]
    assert max(found) == pytest.approx(peak * factor, rel=1e-4)
    first = before if isinstance(before, float) else float(before(0))
    assert found[0] == pytest.approx(first, rel=1e-4)
    top = found.index(max(found))
    assert found[: top + 1] == sorted(found[: top + 1])


def test_a_schedule_without_a_rise_gets_one():
    falling = schedules.rise_and_fall(0.1, 100, rise=0, start=0.5, end=0.0)
    rate = schedules.scaled(falling, 4.0, steps=100, epochs=50)
    assert [float(rate(step)) for step in (0, 5, 10, 100)] == pytest.approx([0.1, 0.25, 0.4, 0.0], abs=1e-6)


def test_a_schedule_without_an_initial_rate_is_refused():
    steps = keras.optimizers.schedules.PiecewiseConstantDecay([10], [0.1, 0.2])
    with pytest.raises(ValueError, match="unsupported schedule: PiecewiseConstantDecay"):
        schedules.with_peak(steps, 0.5)
