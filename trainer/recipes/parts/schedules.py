"""Learning-rate schedules, made of Keras's own, so that a model file can hold them."""

from typing import Any, Final

import keras

from trainer.train_options import SCHEDULES

_SHAPES: Final = {
    "warmup-cosine": {"rise": 0.05, "start": 0.0, "end": 0.01},
    "one-cycle": {"rise": 0.3, "start": 1 / 25, "end": 1e-4},
}
"""Arguments of `rise_and_fall` by the schedule's name."""

_SAMPLES: Final = 100
"""About how many steps `sample_rates` returns."""


def make(name: str, *, peak: float, steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return a learning rate or a schedule.

    - `constant`: the peak in every step.
    - `warmup-cosine`: a linear rise from 0 over the first 5 % of the steps, then half a cosine down to 1 %
      of the peak.
    - `one-cycle`: a linear rise from 1/25 of the peak over the first 30 %, then half a cosine down to a
      ten-thousandth of it (L. N. Smith, "Super-convergence", arXiv:1708.07120; the cosine is fastai's).

    Args:
        name: one of `trainer.train_options.SCHEDULES`.
        peak: greatest learning rate.
        steps: steps of the whole training, at least 1.
    """
    if name == "constant":
        return peak
    if name in _SHAPES:
        return rise_and_fall(peak, steps, **_SHAPES[name])
    raise ValueError(f"unknown schedule: {name}; use one of {', '.join(SCHEDULES)}")


def rise_and_fall(
    peak: float, steps: int, *, rise: float, start: float, end: float
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return a schedule that rises linearly over a share of the steps, then falls along half a cosine.

    Args:
        peak: greatest learning rate.
        steps: steps of the whole training, at least 1.
        rise: share of the steps in which it rises, in [0, 1).
        start: initial rate, share of the peak.
        end: final rate, share of the peak.
    """
    rising = round(steps * rise)
    return keras.optimizers.schedules.CosineDecay(
        # Without a step of rise, Keras would stay at the initial rate.
        peak * start if rising else peak,
        max(steps - rising, 1),
        warmup_target=peak if rising else None,
        warmup_steps=rising,
        alpha=end,
    )


def rate_of(optimizer: keras.optimizers.Optimizer) -> float:
    """Return the learning rate of an optimizer's next step."""
    return float(optimizer.learning_rate.numpy())


def sample_rates(optimizer: keras.optimizers.Optimizer, steps: int) -> tuple[tuple[int, float], ...]:
    """Return about a hundred evenly spaced steps and the learning rate of each."""
    rate = optimizer._learning_rate
    sampled = range(0, steps, max(1, steps // _SAMPLES))
    if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return tuple((step, rate_of(optimizer)) for step in sampled)
    return tuple((step, float(keras.ops.convert_to_numpy(rate(step)))) for step in sampled)


def set_rate(optimizer: keras.optimizers.Optimizer, rate: Any) -> None:
    """Set the learning rate or schedule of an optimizer that was not used yet."""
    if isinstance(rate, float) and not isinstance(optimizer._learning_rate, keras.Variable):
        # Keras doesn't replace a schedule by a number: a constant schedule.
        rate = keras.optimizers.schedules.PolynomialDecay(rate, 1, end_learning_rate=rate)
    optimizer.learning_rate = rate
