"""Variables of a strategy as arrays and back, to the bit: replicas may hold different values."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf


def to_arrays(
    prefix: str, variables: Sequence[keras.Variable], strategy: tf.distribute.Strategy
) -> dict[str, np.ndarray]:
    """Returns each variable's value, or those of this machine's replicas where they differ.

    Keras lets each replica keep the moving averages of its own images until they are averaged.
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
    """Assigns what `to_arrays` returned; other replicas than then get the mean of what differed.

    Raises:
        KeyError: when a variable is missing.
        ValueError: when one has another shape.
    """
    for number, variable in enumerate(variables):
        copies = strategy.experimental_local_results(variable.value)
        several = arrays.get(f"{prefix}/{number}/replicas")
        if several is None:
            values = [arrays[f"{prefix}/{number}"]] * len(copies)
        elif len(several) == len(copies):
            values = list(several)
        else:
            values = [several.mean(axis=0).astype(several.dtype)] * len(copies)
        for copy, value in zip(copies, values, strict=True):
            copy.assign(value)
