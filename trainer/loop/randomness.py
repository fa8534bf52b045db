"""Dropout masks that depend on the seed and differ between replicas."""

import keras
import tensorflow as tf


class _ReplicaSeedGenerator(keras.random.SeedGenerator):
    """A generator with its own seeds on each replica; replica 0 has Keras's.

    Its state is the same on every replica, so that a checkpoint holds one state.
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
"""Offset between the seeds of two replicas, far from the small steps within one stream."""


def separate_replicas(model: keras.Model) -> None:
    """Makes dropout differ between replicas: Keras gives all of them the same masks.

    Changes the layers' generators in place. Their saved form stays Keras's, so that a model file doesn't
    need this code.
    """
    for layer in model._flatten_layers():
        generator = getattr(layer, "seed_generator", None)
        if isinstance(generator, keras.random.SeedGenerator):
            generator.__class__ = _ReplicaSeedGenerator
