"""Batch normalisation of images in one operation, for training alone.

Keras composes it of a dozen, each of which goes through memory: a quarter of a small convolutional
network's step on a CPU. TensorFlow's fused one took a sixth off the whole step in bfloat16, a
twentieth in float32; its sums are in float32 whatever the precision, where Keras rounds the mean and
the variance to bfloat16.
"""

from typing import Any

import keras
import tensorflow as tf


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer, fused while it trains on images, float[N, H, W, C]; Keras's own in all else."""

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        """Returns the normalised images; in training, moves the averages as Keras does."""
        if not training or not self.trainable or len(inputs.shape) != 4 or not (self.center and self.scale):
            return super().call(inputs, training=training, mask=mask)
        normalised, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, self.gamma.value, self.beta.value, epsilon=self.epsilon, is_training=True
        )
        values = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], tf.float32)
        # TensorFlow's is that of a sample, Keras's that of the batch itself.
        variance *= (values - 1) / values
        for average, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(average * self.momentum + new * (1 - self.momentum))
        return normalised


def with_fused(model: keras.Model) -> keras.Model:
    """Returns the network with its batch normalisations fused where they can be; it shares all other layers.

    It is for training alone: what is exported is a copy that the recipe builds anew, so that a model file
    needs none of this code.
    """

    def fused_or_same(layer: keras.layers.Layer) -> keras.layers.Layer:
        if type(layer) is keras.layers.BatchNormalization and layer.axis in (-1, 3):
            return BatchNormalization.from_config(layer.get_config())
        return layer

    return keras.models.clone_model(model, clone_function=fused_or_same)
