"""Fused batch normalisation of images, for training only.

Keras composes it of a dozen operations that go through memory: a quarter of a small convolutional
network's step on a CPU. With TensorFlow's fused operation, a step takes a sixth less time in bfloat16 and a
twentieth less in float32. It also computes mean and variance in float32, which Keras rounds to bfloat16.
"""

from typing import Any

import keras
import tensorflow as tf


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer, but fused when it trains on images, float[N, H, W, C]."""

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        """Returns the normalised images; in training, also updates the moving averages."""
        if not training or not self.trainable or len(inputs.shape) != 4 or not (self.center and self.scale):
            return super().call(inputs, training=training, mask=mask)
        normalised, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, self.gamma.value, self.beta.value, epsilon=self.epsilon, is_training=True
        )
        values = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], tf.float32)
        # TensorFlow returns the unbiased variance, Keras uses the biased one.
        variance *= (values - 1) / values
        for average, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(average * self.momentum + new * (1 - self.momentum))
        return normalised


def with_fused(model: keras.Model) -> keras.Model:
    """Returns a network with fused batch normalisations, where possible, and the model's other layers.

    Those of a network inside the network stay as they are. For training only: exports are built by the
    recipe, so that a model file doesn't need this code.
    """

    def fused_or_same(layer: keras.layers.Layer) -> keras.layers.Layer:
        if type(layer) is keras.layers.BatchNormalization and layer.axis in (-1, 3):
            return BatchNormalization.from_config(layer.get_config())
        return layer

    return keras.models.clone_model(model, clone_function=fused_or_same)
