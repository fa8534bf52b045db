"""The values of a model's variables: their moving averages, and their copies on every replica."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf


def averages(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable] | None:
    """Return the exponential moving average of each trainable variable; None if the recipe uses no EMA."""
    return optimizer._model_variables_moving_average if optimizer.use_ema else None


def assign_averages(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    """Replace the model's weights by their moving averages; do nothing without EMA."""
    for variable, average in zip(model.trainable_variables, averages(optimizer) or (), strict=False):
        variable.assign(average.numpy())


@contextlib.contextmanager
def averaged(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Context in which the model's weights are their moving averages; does nothing without EMA."""
    if averages(optimizer) is None:
        yield
        return
    weights = [variable.numpy() for variable in model.trainable_variables]
    try:
        assign_averages(model, optimizer)
        yield
    finally:
        for variable, weight in zip(model.trainable_variables, weights, strict=True):
            variable.assign(weight)


def to_arrays(
    prefix: str, variables: Sequence[keras.Variable], strategy: tf.distribute.Strategy
) -> dict[str, np.ndarray]:
    """Return each variable's value as `PREFIX/NUMBER`, bit for bit.

    Where the replicas of this machine differ, all their values are stacked as `PREFIX/NUMBER/replicas`:
    batch normalization keeps moving averages per replica between two synchronizations.
    """
    arrays = {}
    for number, variable in enumerate(variables):
        values = [copy.numpy() for copy in strategy.experimental_local_results(variable.value)]
        if all(value.tobytes() == values[0].tobytes() for value in values):
            arrays[f"{prefix}/{number}"] = values[0]
        else:
            arrays[f"{prefix}/{number}/replicas"] = np.stack(values)
    return arrays


def from_arrays(
    arrays: Mapping[str, np.ndarray],
    prefix: str,
    variables: Sequence[keras.Variable],
    *,
    strategy: tf.distribute.Strategy,
) -> None:
    """Assign what `to_arrays` returned; with another number of replicas, stacked values are averaged."""
    for number, variable in enumerate(variables):
        copies = strategy.experimental_local_results(variable.value)
        stacked = arrays.get(f"{prefix}/{number}/replicas")
        if stacked is None:
            values = [arrays[f"{prefix}/{number}"]] * len(copies)
        elif len(stacked) == len(copies):
            values = list(stacked)
        else:
            values = [stacked.mean(axis=0).astype(stacked.dtype)] * len(copies)
        for copy, value in zip(copies, values, strict=True):
            copy.assign(value)
