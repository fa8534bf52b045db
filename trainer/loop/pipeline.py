"""The input pipeline: shuffles indices and gathers the images of each batch at once.

Every epoch is a permutation of all images that depends only on the seed and the epoch's number. So the
number of a step is all that a resumed training needs to know about its data.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.cluster.strategy import is_multi_worker, local_replicas, worker_index
from trainer.data.splits import Split

_PREFETCH = 8
_PARALLEL_GATHERS = 2


@dataclasses.dataclass(frozen=True)
class BatchOrder:
    """Which images each step gets.

    Attributes:
        epochs: epochs of the training, each a permutation of the images.
        seed: determines permutations and augmentation.
        start_step: steps done by earlier processes, which are skipped.
        worker: this worker's index; every worker has its own images.
        block_steps: steps whose images are fetched together, at most: in a small network, fetching each
            step's images separately shows.
        checkpoint_steps: a block also ends at each multiple of it; 0 for none.
    """

    steps_per_epoch: int
    epochs: int
    seed: int
    start_step: int = 0
    worker: int = 0
    block_steps: int = 1
    checkpoint_steps: int = 0

    def block_end(self, step: int) -> int:
        """Return the step at which the block that contains or begins with a step ends."""
        epoch = step // self.steps_per_epoch * self.steps_per_epoch
        first = max(epoch, self.start_step)
        ends = [
            first + ((step - first) // self.block_steps + 1) * self.block_steps,
            epoch + self.steps_per_epoch,
        ]
        if self.checkpoint_steps:
            ends.append((step // self.checkpoint_steps + 1) * self.checkpoint_steps)
        return min(ends)


Datasets = Callable[[int, int], tf.data.Dataset]
"""From the number of an input pipeline, and how many this machine has, to its batches."""


def training_datasets(
    split: Split,
    *,
    strategy: tf.distribute.Strategy,
    per_replica: int,
    order: BatchOrder,
    augmentation: Any = None,
) -> Datasets:
    """Return the factory of the pipelines over the training images, epoch after epoch.

    Each element is a block of steps: images uint8[steps, per_replica, 28, 28], labels
    uint8[steps, per_replica] and, if the split has them, weights float32[steps, per_replica]. A pipeline
    that serves several replicas yields their parts in turn. The batch of a machine doesn't depend on the
    number of its replicas. Images that don't fill a batch are left out of the epoch, other ones each time.

    Args:
        split: this worker's images.
        strategy: the replicas.
        per_replica: images per replica and step.
        order: which images each step gets.
        augmentation: `trainer.recipes.parts.augmentation.Augmentation`; None for none.
    """
    replicas = local_replicas(strategy)
    used = order.steps_per_epoch * per_replica * replicas
    read = _reader(split)
    augment = _augmenter(augmentation, order, replicas) if augmentation is not None else None

    def dataset(pipeline: int, pipelines: int) -> tf.data.Dataset:
        def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            permutation = _permutation(len(split), order=order, epoch=epoch)[:used]
            each = replicas // pipelines
            parts = tf.reshape(permutation, (order.steps_per_epoch, pipelines, each, per_replica))[
                :, pipeline
            ]
            starts, ends = _blocks(order, epoch)
            # Block by block; within a block, one replica's part after the other.
            blocks = tf.data.Dataset.from_tensor_slices((starts, ends))
            return blocks.flat_map(
                lambda start, end: tf.data.Dataset.from_tensor_slices(
                    tf.transpose(parts[start:end], (1, 0, 2))
                )
            )

        rows = tf.data.Dataset.range(order.start_step // order.steps_per_epoch, order.epochs).flat_map(
            one_epoch
        )
        # Endless: of finite data, TensorFlow lets the replicas agree in every step that there is more.
        endless = _map(rows, read).repeat()
        return endless if augment is None else augment(endless, pipeline, pipelines)

    return dataset


def evaluation_batches(split: Split, *, strategy: tf.distribute.Strategy, per_replica: int) -> Iterator:
    """Return a distributed iterator over the images, once and in order.

    Elements are images uint8[per_replica, 28, 28] and labels uint8[per_replica]. The last image is
    repeated until every replica has a full part, since TensorFlow crashes on an empty one: the caller
    drops the surplus. All workers hold the same images and each takes a share.
    """
    replicas = strategy.num_replicas_in_sync
    padded = -(-len(split) // (per_replica * replicas)) * per_replica * replicas
    first = local_replicas(strategy) * worker_index(strategy)
    read = _reader(Split(split.images, split.labels))

    def dataset(pipeline: int, pipelines: int) -> tf.data.Dataset:
        order = tf.minimum(tf.range(padded, dtype=tf.int64), len(split) - 1)
        parts = tf.reshape(order, (-1, replicas, per_replica))
        each = local_replicas(strategy) // pipelines
        mine = parts[:, first + pipeline * each : first + (pipeline + 1) * each]
        return _map(tf.data.Dataset.from_tensor_slices(tf.reshape(mine, (-1, per_replica))), read)

    return distribute(dataset, strategy)


def distribute(datasets: Datasets, strategy: tf.distribute.Strategy) -> Iterator:
    """Return an iterator with a pipeline for each replica or, with several workers, for each worker.

    A pipeline shared by the replicas of a machine would go through an auto-tuned iterator. Its thread
    sleeps twice as long after each look, and dropping the iterator can wait for it up to a minute at
    the end of a training. With several workers there is no choice.
    """
    several = is_multi_worker(strategy)
    options = tf.data.Options()
    options.autotune.enabled = False

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        pipeline, pipelines = (0, 1) if several else (context.input_pipeline_id, context.num_input_pipelines)
        return datasets(pipeline, pipelines).prefetch(_PREFETCH).with_options(options)

    if several:
        return iter(strategy.distribute_datasets_from_function(dataset))
    per_replica = tf.distribute.InputOptions(
        experimental_fetch_to_device=False,
        experimental_replication_mode=tf.distribute.InputReplicationMode.PER_REPLICA,
    )
    return iter(strategy.distribute_datasets_from_function(dataset, per_replica))


def _map(dataset: tf.data.Dataset, change: Callable[..., Any]) -> tf.data.Dataset:
    return dataset.map(change, num_parallel_calls=_PARALLEL_GATHERS, deterministic=True)


def _reader(split: Split) -> Callable[[tf.Tensor], tuple[tf.Tensor, ...]]:
    """Return a function from int64 indices to images, labels and, if the split has them, weights."""
    with tf.device("CPU"):
        columns = [tf.constant(split.labels)]
        if split.weights is not None:
            columns.append(tf.constant(split.weights))
    gather = _image_gather(split.images)
    return lambda row: (gather(row), *(tf.gather(column, row) for column in columns))


def _image_gather(images: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    if not isinstance(images, np.memmap):
        with tf.device("CPU"):
            resident = tf.constant(images)
        return lambda row: tf.gather(resident, row)

    # A constant would copy the file into memory, where it doesn't fit.
    def mapped(row: tf.Tensor) -> tf.Tensor:
        read = tf.numpy_function(lambda indices: images[indices], [row], tf.uint8, stateful=False)
        return tf.ensure_shape(read, (*row.shape, *images.shape[1:]))

    return mapped


def _augmenter(
    augmentation: Any, order: BatchOrder, replicas: int
) -> Callable[[tf.data.Dataset, int, int], tf.data.Dataset]:
    from trainer.recipes.parts.augmentation import augment

    if order.block_steps != 1:
        raise ValueError(f"augmentation needs blocks of one step; got {order.block_steps}")

    def change(dataset: tf.data.Dataset, pipeline: int, pipelines: int) -> tf.data.Dataset:
        each = replicas // pipelines

        def one(number: tf.Tensor, block: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
            step, replica = order.start_step + number // each, pipeline * each + number % each
            seed = augmentation_seed(order, step=step, replica=order.worker * replicas + replica)
            return (augment(block[0][0], seed=seed, augmentation=augmentation)[None], *block[1:])

        return _map(dataset.enumerate(), one)

    return change


def augmentation_seed(order: BatchOrder, *, step: tf.Tensor, replica: tf.Tensor) -> tf.Tensor:
    """Return the seed of a step on a replica, int32[2]; the same after a resume."""
    seed = tf.bitcast(tf.constant([order.seed], tf.uint32), tf.int32)
    start = tf.concat([seed, [0x41554721]], axis=0)
    stepped = tf.random.experimental.stateless_fold_in(start, tf.cast(step, tf.int32))
    return tf.random.experimental.stateless_fold_in(stepped, tf.cast(replica, tf.int32))


def _blocks(order: BatchOrder, epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the starts and end of an epoch's blocks, int64[blocks] each, as steps within the epoch."""
    begin = epoch * order.steps_per_epoch
    first = tf.maximum(order.start_step - begin, 0)
    marks = [tf.range(first, order.steps_per_epoch, order.block_steps, dtype=tf.int64)]
    if every := order.checkpoint_steps:
        next_multiple = ((begin + first) // every + 1) * every - begin
        marks.append(tf.range(next_multiple, tf.maximum(next_multiple, order.steps_per_epoch), every))
    starts = tf.sort(tf.unique(tf.concat(marks, axis=0)).y)
    return starts, tf.concat([starts[1:], [order.steps_per_epoch]], axis=0)


def _permutation(size: int, *, order: BatchOrder, epoch: tf.Tensor) -> tf.Tensor:
    # Every worker has its own order of its own images.
    seed = tf.stack([tf.constant(order.seed + (order.worker << 32), tf.int64), epoch])
    keys = tf.random.stateless_uniform([size], seed=seed, minval=None, maxval=None, dtype=tf.int64)
    return tf.cast(tf.argsort(keys, stable=True), tf.int64)
