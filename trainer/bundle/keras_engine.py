"""Runs `model.keras` with the interface of `digitmill.engines`."""

import pathlib

import keras
import numpy as np
import tensorflow as tf

from digitmill.engines.engine import predict_in_batches
from trainer.loop.precision import exact_float32


class KerasEngine:
    """A Keras model on TensorFlow's default device, in full float32."""

    def __init__(self, model: keras.Model) -> None:
        self._run = tf.function(lambda digits: model(digits, training=False))

    @classmethod
    def load(cls, path: pathlib.Path) -> "KerasEngine":
        """Open a `.keras` file; Keras refuses files that contain code."""
        return cls(keras.models.load_model(path, compile=False, safe_mode=True))

    def probabilities(self, digits: np.ndarray) -> np.ndarray:
        """Return float32[N, 10] for any number of canonical digits, uint8[N, 28, 28]."""
        with exact_float32():
            return predict_in_batches(lambda batch: self._run(tf.constant(batch)).numpy(), digits)
