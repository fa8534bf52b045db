"""The input pipeline: batches of indices, then one gather of images a batch.

Moving numbers instead of pictures makes shuffling exact and cheap: every epoch is a permutation of
all images that follows from the seed and the epoch alone, not from what was read before.
"""

from collections.abc import Iterator

import tensorflow as tf

from trainer.data.splits import Split

_PREFETCH = 8


def training_batches(
    split: Split, *, strategy: tf.distribute.Strategy, per_replica: int, epochs: int, seed: int
) -> Iterator:
    """Returns a distributed iterator over the training images, epoch after epoch.

    Each element holds, for each replica, images uint8[per_replica, 28, 28] and labels
    uint8[per_replica]. The replicas' parts together are the same global batch whatever their number.
    The images that do not fill a batch are left out of their epoch; other ones in each.

    Args:
        split: the images.
        strategy: the replicas.
        per_replica: images of a batch that each replica gets.
        epochs: permutations to go through.
        seed: fixes every permutation.
    """

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        rows_per_step = context.num_replicas_in_sync
        steps = len(split) // (per_replica * rows_per_step)

        def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            order = _permutation(len(split), seed=seed, epoch=epoch)[: steps * rows_per_step * per_replica]
            return tf.data.Dataset.from_tensor_slices(tf.reshape(order, (-1, per_replica)))

        return _gather(tf.data.Dataset.range(epochs).flat_map(one_epoch), split)

    return iter(strategy.distribute_datasets_from_function(dataset))


def evaluation_batches(split: Split, *, strategy: tf.distribute.Strategy, per_replica: int) -> Iterator:
    """Returns a distributed iterator that goes once over the images, in order.

    Elements are as in `training_batches`. The last image is repeated until every replica has a full
    part, since a replica left without images crashes; whoever reads the answers drops the surplus.
    """

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        step = per_replica * context.num_replicas_in_sync
        padded = -(-len(split) // step) * step
        order = tf.minimum(tf.range(padded, dtype=tf.int64), len(split) - 1)
        return _gather(tf.data.Dataset.from_tensor_slices(tf.reshape(order, (-1, per_replica))), split)

    return iter(strategy.distribute_datasets_from_function(dataset))


def _permutation(size: int, *, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    keys = tf.random.stateless_uniform(
        [size], seed=tf.stack([tf.constant(seed, tf.int64), epoch]), minval=None, maxval=None, dtype=tf.int64
    )
    return tf.cast(tf.argsort(keys, stable=True), tf.int64)


def _gather(rows: tf.data.Dataset, split: Split) -> tf.data.Dataset:
    with tf.device("CPU"):
        images, labels = tf.constant(split.images), tf.constant(split.labels)
    gathered = rows.map(
        lambda row: (tf.gather(images, row), tf.gather(labels, row)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    return gathered.prefetch(_PREFETCH)
