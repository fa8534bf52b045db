"""The exponential moving average of the weights, which evaluation and export use in their place."""

import contextlib
from collections.abc import Iterator

import keras


def values(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable] | None:
    """Returns the averages, one a trainable variable; None without averaging."""
    return optimizer._model_variables_moving_average if optimizer.use_ema else None


@contextlib.contextmanager
def in_place(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Puts the averages into the network while it lasts; does nothing without averaging."""
    averages = values(optimizer)
    if averages is None:
        yield
        return
    weights = [variable.numpy() for variable in model.trainable_variables]
    try:
        for variable, average in zip(model.trainable_variables, averages, strict=True):
            variable.assign(average.numpy())
        yield
    finally:
        for variable, weight in zip(model.trainable_variables, weights, strict=True):
            variable.assign(weight)
