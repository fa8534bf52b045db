"""The input pipeline: batches of indices, then one gather of images a batch.

Moving numbers instead of pictures makes shuffling exact and cheap: every epoch is a permutation of
all images that follows from the seed and the epoch alone, not from what was read before. So a step's
number is all that a resumed training needs to know about its data.
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
class Order:
    """Which images a step gets.

    Attributes:
        steps: of an epoch.
        epochs: permutations to go through.
        seed: fixes every permutation and every augmentation.
        start: steps of the training that were done before, of the first epoch on.
        worker: this machine's number, whose images nobody else has.
        block: greatest number of steps whose images come together: a small network notices what it
            costs to ask for each step's.
        every: steps at whose multiples a block ends, for whoever stops there; 0 for none.
    """

    steps: int
    epochs: int
    seed: int
    start: int = 0
    worker: int = 0
    block: int = 1
    every: int = 0

    def block_end(self, step: int) -> int:
        """Returns the step at which the block ends that the given one begins or is in."""
        epoch = step // self.steps * self.steps
        first = max(epoch, self.start)
        ends = [first + ((step - first) // self.block + 1) * self.block, epoch + self.steps]
        return min(ends + ([(step // self.every + 1) * self.every] if self.every else []))


Datasets = Callable[[int, int], tf.data.Dataset]
"""Makes the batches of one pipeline out of so many on this machine."""


def training_datasets(
    split: Split,
    *,
    strategy: tf.distribute.Strategy,
    per_replica: int,
    order: Order,
    augmentation: Any = None,
) -> Datasets:
    """Returns what makes the pipelines over the training images, epoch after epoch.

    Each element is a block of steps: images uint8[steps, per_replica, 28, 28], labels
    uint8[steps, per_replica] and, where the split has them, weights float32[steps, per_replica]; a
    pipeline for several replicas has their parts in turns. The parts of one machine's replicas
    together are the same batch whatever their number. The images that do not fill a batch are left
    out of their epoch; other ones in each.

    Args:
        split: this machine's images; several machines' are disjoint.
        strategy: the replicas.
        per_replica: images of a batch that each replica gets.
        order: which images come when.
        augmentation: what is done to the images, a `trainer.recipes.parts.augmentation.Augmentation`; None
            for nothing.
    """
    replicas = local_replicas(strategy)
    used = order.steps * per_replica * replicas
    read = _reader(split)
    augment = _augmenter(augmentation, order, replicas) if augmentation is not None else None

    def dataset(pipeline: int, pipelines: int) -> tf.data.Dataset:
        def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            permutation = _permutation(len(split), order=order, epoch=epoch)[:used]
            each = replicas // pipelines
            parts = tf.reshape(permutation, (order.steps, pipelines, each, per_replica))[:, pipeline]
            starts, ends = _blocks(order, epoch)
            # Block by block, and of each the replicas' parts one after the other.
            blocks = tf.data.Dataset.from_tensor_slices((starts, ends))
            return blocks.flat_map(
                lambda start, end: tf.data.Dataset.from_tensor_slices(
                    tf.transpose(parts[start:end], (1, 0, 2))
                )
            )

        rows = tf.data.Dataset.range(order.start // order.steps, order.epochs).flat_map(one_epoch)
        # Of data that may end, TensorFlow has the replicas agree in every step that it has not.
        endless = _map(rows, read).repeat()
        return endless if augment is None else augment(endless, pipeline, pipelines)

    return dataset


def training_batches(datasets: Datasets, strategy: tf.distribute.Strategy) -> Iterator:
    """Returns a distributed iterator over `training_datasets`, an element of which is one step's batch."""
    return _distribute(datasets, strategy)


def evaluation_batches(split: Split, *, strategy: tf.distribute.Strategy, per_replica: int) -> Iterator:
    """Returns a distributed iterator that goes once over the images, in order.

    Elements are as in `training_batches`, without weights. The last image is repeated until every
    replica has a full part, since a replica left without images crashes; whoever reads the answers
    drops the surplus. Several machines hold the same images and share them out.
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

    return _distribute(dataset, strategy)


def _distribute(datasets: Datasets, strategy: tf.distribute.Strategy) -> Iterator:
    """Gives each replica its own pipeline, or each machine one where there are several machines.

    One for all replicas of a machine passes through an iterator which TensorFlow tunes by itself: its
    thread sleeps twice as long after every look, and whoever drops the iterator may wait for it, up
    to a minute at the end of a training. Several machines have no other.
    """
    several = is_multi_worker(strategy)

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        pipeline, pipelines = (0, 1) if several else (context.input_pipeline_id, context.num_input_pipelines)
        return datasets(pipeline, pipelines).prefetch(_PREFETCH).with_options(_options())

    if several:
        return iter(strategy.distribute_datasets_from_function(dataset))
    options = tf.distribute.InputOptions(
        experimental_fetch_to_device=False,
        experimental_replication_mode=tf.distribute.InputReplicationMode.PER_REPLICA,
    )
    return iter(strategy.distribute_datasets_from_function(dataset, options))


def _map(dataset: tf.data.Dataset, change: Callable[..., Any]) -> tf.data.Dataset:
    return dataset.map(change, num_parallel_calls=_PARALLEL_GATHERS, deterministic=True)


def _weights(split: Split) -> np.ndarray | None:
    return getattr(split, "weights", None)


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def _reader(split: Split) -> Callable[[tf.Tensor], tuple[tf.Tensor, ...]]:
    """Returns what turns int64 indices into images, labels and, where there are any, weights."""
    weights = _weights(split)
    with tf.device("CPU"):
        small = [tf.constant(split.labels)] + ([] if weights is None else [tf.constant(weights)])
    gather = _image_gather(split.images)
    return lambda row: (gather(row), *(tf.gather(values, row) for values in small))


def _image_gather(images: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    if not isinstance(images, np.memmap):
        with tf.device("CPU"):
            resident = tf.constant(images)
        return lambda row: tf.gather(resident, row)

    # A constant would be a copy in memory, where a mapped file does not fit.
    def mapped(row: tf.Tensor) -> tf.Tensor:
        read = tf.numpy_function(lambda indices: images[indices], [row], tf.uint8, stateful=False)
        return tf.ensure_shape(read, (*row.shape, *images.shape[1:]))

    return mapped


def _augmenter(
    augmentation: Any, order: Order, replicas: int
) -> Callable[[tf.data.Dataset, int, int], tf.data.Dataset]:
    from trainer.recipes.parts.augmentation import augment

    if order.block != 1:
        raise ValueError(f"augmented images come step by step; got blocks of {order.block}")

    def change(dataset: tf.data.Dataset, pipeline: int, pipelines: int) -> tf.data.Dataset:
        each = replicas // pipelines

        def one(number: tf.Tensor, block: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
            step, replica = order.start + number // each, pipeline * each + number % each
            seed = augmentation_seed(order, step=step, replica=order.worker * replicas + replica)
            # A block of one step: augmentation is for networks whose steps are long.
            return (augment(block[0][0], seed=seed, augmentation=augmentation)[None], *block[1:])

        return _map(dataset.enumerate(), one)

    return change


def augmentation_seed(order: Order, *, step: tf.Tensor, replica: tf.Tensor) -> tf.Tensor:
    """Returns int32[2]: another seed for every step of every replica, the same after a resume."""
    seed = tf.bitcast(tf.constant([order.seed], tf.uint32), tf.int32)
    start = tf.concat([seed, [0x41554721]], axis=0)
    stepped = tf.random.experimental.stateless_fold_in(start, tf.cast(step, tf.int32))
    return tf.random.experimental.stateless_fold_in(stepped, tf.cast(replica, tf.int32))


def _blocks(order: Order, epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns int64[blocks] first steps of an epoch's blocks, and the steps after their last, within it."""
    begin = epoch * order.steps
    first = tf.maximum(order.start - begin, 0)
    marks = [tf.range(first, order.steps, order.block, dtype=tf.int64)]
    if order.every:
        next_multiple = ((begin + first) // order.every + 1) * order.every - begin
        marks.append(tf.range(next_multiple, tf.maximum(next_multiple, order.steps), order.every))
    starts = tf.sort(tf.unique(tf.concat(marks, axis=0)).y)
    return starts, tf.concat([starts[1:], [order.steps]], axis=0)


def _permutation(size: int, *, order: Order, epoch: tf.Tensor) -> tf.Tensor:
    # Workers hold different images; the same order of them would be no fault, but a pattern.
    seed = tf.stack([tf.constant(order.seed + (order.worker << 32), tf.int64), epoch])
    keys = tf.random.stateless_uniform([size], seed=seed, minval=None, maxval=None, dtype=tf.int64)
    return tf.cast(tf.argsort(keys, stable=True), tf.int64)
