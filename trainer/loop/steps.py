"""Training steps in the graph, on every replica: forward and backward pass, update; and how many at once."""

from collections.abc import Callable, Iterator
from typing import Final

import keras
import tensorflow as tf

from schemas.digit import CLASSES, NOT_A_DIGIT
from schemas.errors import UserError
from trainer.loop import distillation, updates
from trainer.loop.loss_scaling import LossScale
from trainer.recipes.parts.recipe import Recipe

_MAX_SECONDS: Final = 2.0
"""Target for the longest chunk: clusters grant about 30 s between SIGTERM and SIGKILL."""

_MIN_CHUNKS: Final = 10
"""Least number of chunks per epoch."""

_INITIAL_STEPS: Final = 20

_Batch = tuple[tf.Tensor | None, ...]
"""Images, labels, and weights or None."""


class StepRunner:
    """Runs training steps of one network.

    Args:
        recipe: loss, clipping, compilation and gradient accumulation.
        model: built in the strategy's scope.
        optimizer: built for the model.
        strategy: the replicas.
        per_replica: images per replica and step.
        teacher: returns a teacher's probabilities, float32[N, 10], for a batch of images; None without one.
        loss_scale: scales the loss of a network that computes in float16; None for others.
        with_not_digits: whether some images have the label `NOT_A_DIGIT`; the loss takes one-hot labels then.

    Attributes:
        num_sums: running sums that each step adds to: weighted loss, images predicted right, weights, and
            `with_not_digits` the digits among the images.

    Raises:
        UserError: if a replica's images don't divide into the parts of `--accumulate`.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        *,
        strategy: tf.distribute.Strategy,
        per_replica: int,
        teacher: Callable[[tf.Tensor], tf.Tensor] | None = None,
        loss_scale: LossScale | None = None,
        with_not_digits: bool = False,
    ) -> None:
        if per_replica % recipe.accumulate:
            raise UserError(
                f"--accumulate doesn't divide a replica's {per_replica} images",
                value=recipe.accumulate,
                hint="choose a divisor, or another --batch",
            )
        self._recipe = recipe
        self._model = model
        self._optimizer = optimizer
        self._strategy = strategy
        self._batch = per_replica * strategy.num_replicas_in_sync
        self._part_size = per_replica // recipe.accumulate
        self._loss = recipe.loss(reduction="none")
        self._teacher = teacher
        self._loss_scale = loss_scale
        self._with_not_digits = with_not_digits
        self.num_sums = 4 if with_not_digits else 3
        # The update is compiled by itself: the replicas sum their gradients in between.
        self._compiled = tf.function(self._part, jit_compile=True) if recipe.xla else self._part
        self._run = tf.function(self._run_blocks)

    def run(self, batches: Iterator, blocks: int, *, sums: tf.Tensor) -> tf.Tensor:
        """Run the steps of that many blocks and return the sums, float64[num_sums], with theirs added."""
        return self._run(batches, tf.constant(blocks), sums)

    def _run_blocks(self, batches: Iterator, blocks: tf.Tensor, sums: tf.Tensor) -> tf.Tensor:
        for _ in tf.range(blocks):
            fetched = next(batches)
            labels = self._strategy.experimental_local_results(fetched[1])[0]
            # Once a block: in the loop, TensorFlow would copy all of it to the GPU in every step.
            block = self._strategy.run(_on_device, args=fetched)
            for number in tf.range(tf.shape(labels)[0]):
                added = self._strategy.run(self._step_of_block, args=(number, *block))
                # Step by step in float64, so that the sums don't depend on where a chunk ends.
                sums += tf.cast(self._sum_replicas(added), tf.float64)
        return sums

    def _step_of_block(self, number: tf.Tensor, *block: tf.Tensor) -> tf.Tensor:
        return self._step(*(values[number] for values in block))

    def _sum_replicas(self, added: tf.distribute.DistributedValues) -> tf.Tensor:
        # In a small network, every additional operation per step shows.
        if self._strategy.num_replicas_in_sync == 1:
            return self._strategy.experimental_local_results(added)[0]
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, added, axis=None)

    def _step(self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
        """Run one replica's part of a step; return what it adds to the sums, float32[num_sums]."""
        total = self._batch if weights is None else self._total(weights)
        # Divided by the global batch, the replicas' gradients sum up to the mean's.
        sums, gradients = self._gradients((images, labels, weights), total)
        updates.apply(
            self._optimizer,
            gradients,
            self._model.trainable_variables,
            clip_norm=self._recipe.clip_norm,
            loss_scale=self._loss_scale,
            xla=self._recipe.xla,
        )
        return sums

    def _total(self, weights: tf.Tensor) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.reduce_sum(weights))

    def _gradients(self, batch: _Batch, total: int | tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Return sums and gradients of a replica's images, accumulated over the recipe's parts."""
        if self._recipe.accumulate == 1:
            return self._compiled(batch, total)
        shapes = [variable.shape for variable in self._model.trainable_variables]

        def add(part: tf.Tensor, sums: tf.Tensor, *gradients: tf.Tensor) -> tuple[tf.Tensor, ...]:
            rows = slice(part * self._part_size, (part + 1) * self._part_size)
            slices = tuple(None if values is None else values[rows] for values in batch)
            more, found = self._compiled(slices, total)
            return part + 1, sums + more, *(a + b for a, b in zip(gradients, found, strict=True))

        # One at a time: in parallel, the activations of all parts would be in memory together.
        _, sums, *gradients = tf.while_loop(
            lambda part, *_: part < self._recipe.accumulate,
            add,
            (tf.constant(0), tf.zeros(self.num_sums), *(tf.zeros(shape) for shape in shapes)),
            parallel_iterations=1,
        )
        return sums, gradients

    def _part(self, batch: _Batch, total: int | tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Return sums and gradients of some images."""
        images, labels, weights = batch
        assert labels is not None
        targets = tf.one_hot(labels, CLASSES) if self._recipe.one_hot else labels
        # The teacher sees the augmented images that the student sees.
        taught = None if self._teacher is None else self._teacher(images)
        if self._with_not_digits:
            targets = expose_outliers(targets, labels)
            taught = None if taught is None else expose_outliers(taught, labels)
        with tf.GradientTape() as tape:
            probabilities = self._model(images, training=True)
            losses = self._loss(targets, probabilities)
            if taught is not None:
                losses = distillation.mix_losses(losses, probabilities, teacher=taught, recipe=self._recipe)
            summed = tf.reduce_sum(losses if weights is None else losses * weights)
            loss = summed / total + self._regularisation()
            if self._loss_scale is not None:
                loss = self._loss_scale.scale(loss)
        gradients = tape.gradient(loss, self._model.trainable_variables)
        predicted = tf.argmax(probabilities, axis=1, output_type=tf.int32)
        right = tf.reduce_sum(tf.cast(predicted == tf.cast(labels, tf.int32), tf.float32))
        weight = float(self._part_size) if weights is None else tf.reduce_sum(weights)
        sums = [summed, right, weight]
        if self._with_not_digits:
            sums.append(tf.reduce_sum(tf.cast(labels != NOT_A_DIGIT, tf.float32)))
        return tf.stack(sums), gradients

    def _regularisation(self) -> tf.Tensor:
        """Return this part's share of the layers' regularization losses."""
        shares = self._strategy.num_replicas_in_sync * self._recipe.accumulate
        return tf.add_n(self._model.losses) / shares if self._model.losses else 0.0


def expose_outliers(targets: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the targets, float32[N, 10], with the uniform distribution where the label is `NOT_A_DIGIT`.

    D. Hendrycks, M. Mazeika, T. Dietterich, "Deep Anomaly Detection with Outlier Exposure", 2019,
    arXiv:1812.04606. Label smoothing keeps the uniform distribution as it is.
    """
    return tf.where((labels != NOT_A_DIGIT)[:, None], targets, 1 / CLASSES)


def _on_device(*values: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Return one replica's tensors in its device's memory."""
    return tuple(tf.identity(each) for each in values)


class StepScheduler:
    """Adapts the number of steps per chunk to their speed. Chunk boundaries don't affect the results.

    Attributes:
        num_steps: steps of the next chunk.
    """

    def __init__(self, steps_per_epoch: int) -> None:
        self._max_steps = max(1, -(-steps_per_epoch // _MIN_CHUNKS))
        self.num_steps = min(self._max_steps, _INITIAL_STEPS)

    def record(self, seconds: float) -> None:
        """Adapt to the duration of the last chunk, which must be the same number on every worker."""
        if seconds < _MAX_SECONDS / 2:
            self.num_steps = min(self._max_steps, self.num_steps * 2)
        elif seconds > _MAX_SECONDS:
            self.num_steps = max(1, self.num_steps // 2)
