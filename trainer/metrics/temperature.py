"""Bakes a temperature into a network, so that all exports predict calibrated probabilities."""

from typing import Final

import keras

_MIN_PROBABILITY: Final = 1e-12
"""Probabilities are clipped here, as in `digitmill.confidence.scaling`."""


def softmax_layer(model: keras.Model) -> keras.layers.Dense | None:
    """Return the last layer if it is a dense layer with softmax, or None."""
    last = model.outputs[0]._keras_history.operation
    is_softmax = isinstance(last, keras.layers.Dense) and last.activation is keras.activations.softmax
    return last if is_softmax else None


def bake(model: keras.Model, temperature: float) -> keras.Model:
    """Return a network that predicts the softmax of a model's logits divided by a temperature.

    The weights and biases of a last dense softmax layer are divided in place, at no cost. The average of
    several networks has no logits: there, Keras operations divide the logarithms of its probabilities.

    Args:
        model: built, with float32[N, 10] probabilities; compiled or not.
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
    """Revert `bake` in place, to within rounding; do nothing where `bake` only added operations."""
    last = softmax_layer(model)
    if last is not None:
        _divide(last, 1 / temperature)


def _divide(layer: keras.layers.Dense, temperature: float) -> None:
    for weight in layer.trainable_weights:
        weight.assign(weight / temperature)


def _with_scaling(model: keras.Model, temperature: float) -> keras.Model:
    logits = keras.ops.log(keras.ops.maximum(model.outputs[0], _MIN_PROBABILITY)) / temperature
    scaled = keras.Model(model.inputs, keras.ops.softmax(logits, axis=-1))
    if model.compiled:
        scaled.compile(optimizer=model.optimizer, loss=model.loss, metrics=["accuracy"])
    return scaled
