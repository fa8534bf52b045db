"""Learning-rate schedules, made of Keras's own, so that a model file can hold them."""

from typing import Any, Final

import keras

from trainer.train_options import SCHEDULES

_SHAPES: Final = {
    "warmup-cosine": {"rise": 0.05, "start": 0.0, "end": 0.01},
    "one-cycle": {"rise": 0.3, "start": 1 / 25, "end": 1e-4},
}
"""Arguments of `rise_and_fall` by the schedule's name."""

_WARM_UP_EPOCHS: Final = 5
_MOST_WARM_UP: Final = 0.2
"""Of the steps, in a training of few epochs."""

_RATES: Final = ("initial_learning_rate", "warmup_target", "end_learning_rate")
"""Arguments of Keras's schedules that are learning rates; the others are steps and shares."""

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


def scaled(
    rate: float | keras.optimizers.schedules.LearningRateSchedule, factor: float, *, steps: int, epochs: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return a learning rate multiplied by a factor, for a larger batch, after a linear warm-up.

    P. Goyal and others, "Accurate, large minibatch SGD", arXiv:1706.02677: the rate rises from what it was
    over five epochs; here over a fifth of a short training. A schedule that rises anyway keeps its start.

    Args:
        rate: a number, or a schedule of this module.
        factor: at least 1.
        steps: steps of the whole training, at least 1.
        epochs: its epochs.
    """
    warm_up = max(1, round(steps * min(_WARM_UP_EPOCHS / epochs, _MOST_WARM_UP)))
    peak = peak_of(rate)
    if not isinstance(rate, keras.optimizers.schedules.CosineDecay):
        # Down to the whole of it: a constant.
        return keras.optimizers.schedules.CosineDecay(
            peak, 1, alpha=1.0, warmup_target=peak * factor, warmup_steps=warm_up
        )
    rising = max(rate.warmup_steps, warm_up)
    return keras.optimizers.schedules.CosineDecay(
        rate.initial_learning_rate,
        max(rate.decay_steps + rate.warmup_steps - rising, 1),
        alpha=rate.alpha,
        warmup_target=peak * factor,
        warmup_steps=rising,
    )


def peak_of(rate: float | keras.optimizers.schedules.LearningRateSchedule) -> float:
    """Return the greatest learning rate of a schedule; raise ValueError for an unsupported one.

    Supported are those of Keras that begin with their greatest rate, or rise to it in a warm-up.
    """
    if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return rate
    found = getattr(rate, "warmup_target", None) or getattr(rate, "initial_learning_rate", None)
    if found is None:
        raise ValueError(f"unsupported schedule: {type(rate).__name__}. Choose one with an initial rate.")
    return float(found)


def with_peak(
    rate: float | keras.optimizers.schedules.LearningRateSchedule, peak: float
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return a schedule of the same shape with another greatest learning rate."""
    if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return peak
    own, settings = peak_of(rate), rate.get_config()
    changed = {name: settings[name] / own * peak for name in _RATES if settings.get(name) is not None}
    return type(rate).from_config({**settings, **changed})


def schedule_of(
    optimizer: keras.optimizers.Optimizer,
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return the schedule of an optimizer that was not used yet, or its constant learning rate."""
    rate = optimizer._learning_rate
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return rate
    return rate_of(optimizer)


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
