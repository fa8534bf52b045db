"""Runs a bundle's `model.keras`, as `digitmill.engines` run its other formats."""

import pathlib

import keras
import numpy as np
import tensorflow as tf

from digitmill.engines.engine import predict_in_batches


class KerasEngine:
    """A Keras model on TensorFlow's device."""

    def __init__(self, model: keras.Model) -> None:
        self._run = tf.function(lambda digits: model(digits, training=False))

    @classmethod
    def load(cls, path: pathlib.Path) -> "KerasEngine":
        """Opens a `.keras` file; Keras refuses those with code in them."""
        return cls(keras.models.load_model(path, compile=False, safe_mode=True))

    def probabilities(self, digits: np.ndarray) -> np.ndarray:
        """Returns float32[N, 10] for uint8[N, 28, 28] canonical digits, any N."""
        return predict_in_batches(lambda batch: self._run(tf.constant(batch)).numpy(), digits)
