"""Layers for training only: fused batch normalization, and dropout that differs between replicas."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer, but fused when it trains on images, float[N, H, W, C].

    Keras composes it of a dozen operations that go through memory: a quarter of a small convolutional
    network's step on a CPU. TensorFlow's fused operation saves a sixth of it in bfloat16, a twentieth in
    float32, and computes mean and variance in float32, which Keras rounds to bfloat16.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        """Return the normalized images; in training, also updates the moving averages."""
        if not training or not self.trainable or len(inputs.shape) != 4 or not (self.center and self.scale):
            return super().call(inputs, training=training, mask=mask)
        normalized, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, self.gamma.value, self.beta.value, epsilon=self.epsilon, is_training=True
        )
        values = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], tf.float32)
        # TensorFlow returns the unbiased variance, Keras uses the biased one.
        variance *= (values - 1) / values
        for average, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(average * self.momentum + new * (1 - self.momentum))
        return normalized


def for_training(model: keras.Model, *, sync_batch_norm: bool = False) -> keras.Model:
    """Return a network with other batch normalizations, and the model's other layers.

    They are fused where possible or, with `sync_batch_norm`, Keras's own that share mean and variance.

    Those of a network inside the network stay as they are. For training only: exports are built by the
    recipe, so that a model file doesn't need this code.
    """

    def changed(layer: keras.layers.Layer) -> keras.layers.Layer:
        if sync_batch_norm and type(layer) is keras.layers.BatchNormalization:
            return type(layer).from_config(layer.get_config() | {"synchronized": True})
        if type(layer) is keras.layers.BatchNormalization and layer.axis in (-1, 3):
            return BatchNormalization.from_config(layer.get_config())
        return layer

    return keras.models.clone_model(model, clone_function=changed)


_STRIDE = (0x3C6EF372, 0)
"""Offset between the seeds of two replicas, far from the small steps within one stream."""


def separate_replicas(model: keras.Model) -> None:
    """Make dropout differ between replicas: Keras gives all of them the same masks.

    Changes what the layers' generators return. Their state stays the same on every replica, so that a
    checkpoint holds one; their saved form stays Keras's, so that a model file doesn't need this code.
    """
    for layer in model._flatten_layers():
        generator = getattr(layer, "seed_generator", None)
        if isinstance(generator, keras.random.SeedGenerator):
            generator.next = functools.partial(_next_of_replica, generator.next)


def _next_of_replica(next_seed: Callable[..., tf.Tensor], ordered: bool = True) -> tf.Tensor:
    """Return the next seed of this replica, int64[2]; replica 0 has Keras's."""
    seed = next_seed(ordered=ordered)
    context = tf.distribute.get_replica_context()
    if context is None:
        return seed
    replica = tf.cast(context.replica_id_in_sync_group, seed.dtype)
    return seed + replica * tf.constant(_STRIDE, seed.dtype)
