"""Randomness inside the model that follows from the seed and differs between replicas."""

import keras
import tensorflow as tf


class _ReplicaSeedGenerator(keras.random.SeedGenerator):
    """Gives each replica its own stream of seeds; replica 0 has Keras's own.

    Its state stays the same on every replica, so that a saved model or checkpoint holds one state
    and not as many as there were devices.
    """

    def next(self, ordered: bool = True) -> tf.Tensor:
        """Returns the next seed, int64[2]."""
        seed = super().next(ordered=ordered)
        context = tf.distribute.get_replica_context()
        if context is None:
            return seed
        replica = tf.cast(context.replica_id_in_sync_group, seed.dtype)
        return seed + replica * tf.constant(_STRIDE, seed.dtype)


_STRIDE = (0x3C6EF372, 0)
"""Distance of two replicas' seeds: far from the small steps between one stream's seeds."""


def separate_replicas(model: keras.Model) -> None:
    """Makes dropout differ between replicas; Keras gives all of them the same masks.

    The layers' generators are changed in place: their saved form stays Keras's own, so that a model
    file needs none of this code.
    """
    for layer in model._flatten_layers():
        generator = getattr(layer, "seed_generator", None)
        if isinstance(generator, keras.random.SeedGenerator):
            generator.__class__ = _ReplicaSeedGenerator
