"""The input pipeline: batches of indices, then one gather of images a batch.

Moving numbers instead of pictures makes shuffling exact and cheap: every epoch is a permutation of
all images that follows from the seed and the epoch alone, not from what was read before.
"""

from collections.abc import Callable, Iterator

import tensorflow as tf

from trainer.data.splits import Split

_PREFETCH = 8
_PARALLEL_GATHERS = 2


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
    batch = per_replica * strategy.num_replicas_in_sync
    used = len(split) // batch * batch

    def rows(replica: int) -> tf.data.Dataset:
        def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            order = _permutation(len(split), seed=seed, epoch=epoch)[:used]
            parts = tf.reshape(order, (-1, strategy.num_replicas_in_sync, per_replica))
            return tf.data.Dataset.from_tensor_slices(parts[:, replica])

        return tf.data.Dataset.range(epochs).flat_map(one_epoch)

    return _distribute(rows, split, strategy)


def evaluation_batches(split: Split, *, strategy: tf.distribute.Strategy, per_replica: int) -> Iterator:
    """Returns a distributed iterator that goes once over the images, in order.

    Elements are as in `training_batches`. The last image is repeated until every replica has a full
    part, since a replica left without images crashes; whoever reads the answers drops the surplus.
    """
    batch = per_replica * strategy.num_replicas_in_sync
    padded = -(-len(split) // batch) * batch

    def rows(replica: int) -> tf.data.Dataset:
        order = tf.minimum(tf.range(padded, dtype=tf.int64), len(split) - 1)
        parts = tf.reshape(order, (-1, strategy.num_replicas_in_sync, per_replica))
        return tf.data.Dataset.from_tensor_slices(parts[:, replica])

    return _distribute(rows, split, strategy)


def _distribute(
    rows: Callable[[int], tf.data.Dataset], split: Split, strategy: tf.distribute.Strategy
) -> Iterator:
    """Gives each replica its own pipeline.

    One for all replicas passes through an iterator which TensorFlow tunes by itself: its thread
    sleeps twice as long after every look, and whoever drops the iterator may wait for it, up to a
    minute at the end of a training.
    """
    with tf.device("CPU"):
        images, labels = tf.constant(split.images), tf.constant(split.labels)
    return iter(
        strategy.distribute_datasets_from_function(
            lambda context: _gather(rows(context.input_pipeline_id), images, labels),
            tf.distribute.InputOptions(
                experimental_fetch_to_device=False,
                experimental_replication_mode=tf.distribute.InputReplicationMode.PER_REPLICA,
            ),
        )
    )


def _permutation(size: int, *, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    keys = tf.random.stateless_uniform(
        [size], seed=tf.stack([tf.constant(seed, tf.int64), epoch]), minval=None, maxval=None, dtype=tf.int64
    )
    return tf.cast(tf.argsort(keys, stable=True), tf.int64)


def _gather(rows: tf.data.Dataset, images: tf.Tensor, labels: tf.Tensor) -> tf.data.Dataset:
    options = tf.data.Options()
    options.autotune.enabled = False
    gathered = rows.map(
        lambda row: (tf.gather(images, row), tf.gather(labels, row)),
        num_parallel_calls=_PARALLEL_GATHERS,
        deterministic=True,
    )
    return gathered.prefetch(_PREFETCH).with_options(options)
