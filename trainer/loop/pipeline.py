"""The input pipeline: shuffles indices and gathers the images of each batch at once.

The order of an epoch's images depends only on the seed and the epoch's number. So the number of a step is all
that a resumed training needs to know about its data.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from digitmill.machine import cpu_count
from schemas.digit import SIDE
from trainer.cluster.strategy import is_multi_worker, local_replicas, worker_index
from trainer.data.splits import Split
from trainer.data.stream import Stream
from trainer.loop.epoch_order import EpochOrder, StreamOrder

_PREFETCH = 8
_LEAST_PARALLEL = 2
_ALIGNMENT = 64
"""Bytes; TensorFlow aborts on a tensor elsewhere. Mapped images begin at a page, NumPy's own anywhere."""


@dataclasses.dataclass(frozen=True)
class BatchOrder:
    """Which images each step gets.

    Attributes:
        epochs: epochs of the training, each with an order of its own.
        seed: determines order and augmentation.
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
    data: Split | Stream,
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
        data: this worker's images.
        strategy: the replicas.
        per_replica: images per replica and step.
        order: which images each step gets.
        augmentation: `trainer.recipes.parts.augmentation.Augmentation`; None for none.
    """
    replicas = local_replicas(strategy)
    blocks = _stream_blocks if isinstance(data, Stream) else _split_blocks
    in_order = blocks(data, order=order, replicas=replicas, per_replica=per_replica)  # type: ignore[arg-type]
    augment = _augmenter(augmentation, order, replicas) if augmentation is not None else None

    def dataset(pipeline: int, pipelines: int) -> tf.data.Dataset:
        # Endless: of finite data, TensorFlow lets the replicas agree in every step that there is more.
        endless = in_order(pipeline, pipelines).repeat()
        return _plain(endless if augment is None else augment(endless, pipeline, pipelines))

    return dataset


def _split_blocks(split: Split, *, order: BatchOrder, replicas: int, per_replica: int) -> Datasets:
    """Return the factory of the pipelines over images that are all there, block by block."""
    used = order.steps_per_epoch * per_replica * replicas
    epochs = EpochOrder(len(split), seed=order.seed, worker=order.worker)
    read = _reader(split)

    def dataset(pipeline: int, pipelines: int) -> tf.data.Dataset:
        def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            shape = (order.steps_per_epoch, pipelines, replicas // pipelines, per_replica)
            parts = tf.numpy_function(
                lambda number: epochs.of(int(number))[:used].reshape(shape)[:, pipeline],
                [epoch],
                tf.int32,
                stateful=False,
            )
            parts = tf.ensure_shape(parts, (shape[0], *shape[2:]))
            starts, ends = _blocks(order, epoch)
            # Block by block; within a block, one replica's part after the other.
            blocks = tf.data.Dataset.from_tensor_slices((starts, ends))
            return blocks.flat_map(
                lambda start, end: tf.data.Dataset.from_tensor_slices(
                    tf.transpose(parts[start:end], (1, 0, 2))
                )
            )

        return _map(_epochs(order).flat_map(one_epoch), read, pipelines)

    return dataset


def _stream_blocks(stream: Stream, *, order: BatchOrder, replicas: int, per_replica: int) -> Datasets:
    """Return the factory of the pipelines over images that are still being decoded, block by block."""
    rows = StreamOrder(stream, seed=order.seed, worker=order.worker)
    step = np.arange(replicas * per_replica).reshape(replicas, per_replica)

    def read(epoch: int, start: int, end: int, replica: int) -> tuple[np.ndarray, np.ndarray]:
        steps = np.arange(start, end)[:, np.newaxis]
        return stream.take(rows.rows(int(epoch), steps * step.size + step[replica]))

    def batches(*block: tf.Tensor) -> tuple[tf.Tensor, ...]:
        images, labels = tf.numpy_function(read, block, (tf.uint8, tf.uint8))
        shape = (None, per_replica)
        return tf.ensure_shape(images, (*shape, SIDE, SIDE)), tf.ensure_shape(labels, shape)

    def dataset(pipeline: int, pipelines: int) -> tf.data.Dataset:
        each = replicas // pipelines
        own = tf.range(pipeline * each, (pipeline + 1) * each, dtype=tf.int64)

        def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            blocks = tf.data.Dataset.from_tensor_slices(_blocks(order, epoch))
            return blocks.flat_map(
                lambda start, end: tf.data.Dataset.from_tensor_slices(own).map(
                    lambda replica: (epoch, start, end, replica)
                )
            )

        options = tf.data.Options()
        # Threads of its own: those of the training must not wait for images.
        options.threading.private_threadpool_size = max(_LEAST_PARALLEL, cpu_count() // pipelines) + 1
        return _map(_epochs(order).flat_map(one_epoch), batches, pipelines).with_options(options)

    return dataset


def _epochs(order: BatchOrder) -> tf.data.Dataset:
    """Return the numbers of the epochs that are left."""
    return tf.data.Dataset.range(order.start_step // order.steps_per_epoch, order.epochs)


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
        rows = tf.data.Dataset.from_tensor_slices(tf.reshape(mine, (-1, per_replica)))
        return _plain(_map(rows, read, pipelines))

    return distribute(dataset, strategy)


def distribute(datasets: Datasets, strategy: tf.distribute.Strategy) -> Iterator:
    """Return an iterator with a pipeline for each replica or, with several workers, for each worker.

    A pipeline shared by the replicas of a machine would go through an auto-tuned iterator. Its thread
    sleeps twice as long after each look, and dropping the iterator can wait for it up to a minute at
    the end of a training. With several workers there is no choice.
    """
    several = is_multi_worker(strategy)

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        pipeline, pipelines = (0, 1) if several else (context.input_pipeline_id, context.num_input_pipelines)
        return datasets(pipeline, pipelines).prefetch(_PREFETCH)

    if several:
        return iter(strategy.distribute_datasets_from_function(dataset))
    per_replica = tf.distribute.InputOptions(
        experimental_fetch_to_device=False,
        experimental_replication_mode=tf.distribute.InputReplicationMode.PER_REPLICA,
    )
    return iter(strategy.distribute_datasets_from_function(dataset, per_replica))


def _plain(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Return the dataset as it is to run, for every iterator."""
    options = tf.data.Options()
    options.autotune.enabled = False
    # TensorFlow serializes a pipeline to optimize it, which copies all images; nothing here would change.
    options.experimental_optimization.apply_default_optimizations = False
    return dataset.with_options(options)


def _map(dataset: tf.data.Dataset, change: Callable[..., Any], pipelines: int) -> tf.data.Dataset:
    """Map by this pipeline's share of the processors."""
    calls = max(_LEAST_PARALLEL, cpu_count() // pipelines)
    return dataset.map(change, num_parallel_calls=calls, deterministic=True)


def _reader(split: Split) -> Callable[[tf.Tensor], tuple[tf.Tensor, ...]]:
    """Return a function from int64 indices to images, labels and, if the split has them, weights."""
    with tf.device("CPU"):
        columns = [tf.constant(split.labels)]
        if split.weights is not None:
            columns.append(tf.constant(split.weights))
    gather = _image_gather(split.images)
    return lambda row: (gather(row), *(tf.gather(column, row) for column in columns))


def _image_gather(images: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    if images.ctypes.data % _ALIGNMENT or not images.flags.c_contiguous:
        with tf.device("CPU"):
            resident = tf.constant(images)
    else:
        # A constant would be a copy, for a moment even two, and a mapped file may not fit the memory.
        resident = tf.experimental.dlpack.from_dlpack(np.asarray(_Writable(images)).__dlpack__())
    return lambda row: tf.gather(resident, row)


class _Writable:
    """An array of the same memory, for DLPack: NumPy exports no read-only one. TensorFlow only reads it."""

    def __init__(self, array: np.ndarray) -> None:
        self._kept = array
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}


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

        return _map(dataset.enumerate(), one, pipelines)

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
