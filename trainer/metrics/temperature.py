"""Bakes a temperature into a network, so that every export gives calibrated probabilities."""

from typing import Final

import keras

_LEAST: Final = 1e-12
"""As in `trainer.metrics.calibration`: probabilities are taken for at least this."""


def softmax_layer(model: keras.Model) -> keras.layers.Dense | None:
    """Returns the dense layer with a softmax that gives the answers; None where something else does."""
    last = model.outputs[0]._keras_history.operation
    ends_so = isinstance(last, keras.layers.Dense) and last.activation is keras.activations.softmax
    return last if ends_so else None


def bake(model: keras.Model, temperature: float) -> keras.Model:
    """Returns a network whose probabilities are those of another one's logits divided by a temperature.

    Where a dense layer with a softmax gives them, its weights and biases are divided, in place: no
    layer is added, and nothing more computed. Averages of several networks have no logits; there their
    probabilities' logarithms are divided, by operations of Keras that need none of this code.

    Args:
        model: built, float32[N, 10] probabilities out; compiled or not.
        temperature: above 0.
    """
    if temperature == 1:
        return model
    last = softmax_layer(model)
    if last is None:
        return _with_scaling(model, temperature)
    _divide(last, temperature)
    return model


def unbake(model: keras.Model, temperature: float) -> None:
    """Gives a network that `bake` changed in place its weights back, to within rounding.

    Args:
        model: as loaded. Where `bake` added operations its weights are as they were trained.
        temperature: the one that was baked in.
    """
    last = softmax_layer(model)
    if last is not None:
        _divide(last, 1 / temperature)


def _divide(layer: keras.layers.Dense, temperature: float) -> None:
    for weight in layer.trainable_weights:
        weight.assign(weight / temperature)


def _with_scaling(model: keras.Model, temperature: float) -> keras.Model:
    logits = keras.ops.log(keras.ops.maximum(model.outputs[0], _LEAST)) / temperature
    scaled = keras.Model(model.inputs, keras.ops.softmax(logits, axis=-1))
    if model.compiled:
        scaled.compile(optimizer=model.optimizer, loss=model.loss, metrics=["accuracy"])
    return scaled
