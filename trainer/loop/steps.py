"""The training step in the graph: forward, backward, update, on every replica."""

from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from schemas.digit import CLASSES
from schemas.errors import UserError
from trainer.loop import distillation, updates
from trainer.recipes.parts.recipe import Recipe

SUMS = 3
"""Running sums that a step adds to: weighted loss, images answered right, weights."""


class Steps:
    """Runs steps of one network.

    Args:
        recipe: its loss, clipping, compilation and accumulation.
        model: built in the strategy's scope.
        optimizer: built for it.
        strategy: the replicas.
        per_replica: images of a batch that each replica gets.
        teacher: gives a teacher's probabilities for a batch of images; None without one.

    Raises:
        UserError: when a replica's images do not divide into the recipe's parts.
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
    ) -> None:
        if per_replica % recipe.accumulate:
            raise UserError(
                f"--accumulate divides a replica's {per_replica} images",
                got=recipe.accumulate,
                remedy="choose a divisor, or another --batch",
            )
        self._recipe = recipe
        self._model = model
        self._optimizer = optimizer
        self._strategy = strategy
        self._batch = per_replica * strategy.num_replicas_in_sync
        self._part_size = per_replica // recipe.accumulate
        self._loss = recipe.loss(reduction="none")
        self._teacher = teacher
        # The update stays outside: collectives are not compiled.
        self._compiled = tf.function(self._part, jit_compile=True) if recipe.xla else self._part
        self._run = tf.function(self._run_steps)

    def run(self, batches: Iterator, blocks: int, *, sums: tf.Tensor) -> tf.Tensor:
        """Runs blocks of steps and returns the sums, float64[`SUMS`], with what their images add to them."""
        return self._run(batches, tf.constant(blocks), sums)

    def _run_steps(self, batches: Iterator, blocks: tf.Tensor, sums: tf.Tensor) -> tf.Tensor:
        for _ in tf.range(blocks):
            block = next(batches)
            labels = self._strategy.experimental_local_results(block[1])[0]
            for number in tf.range(tf.shape(labels)[0]):
                added = self._strategy.run(self._step_of_block, args=(number, *block))
                # Added one by one in float64, so that they do not depend on where a stretch ends.
                sums += tf.cast(self._over_replicas(added), tf.float64)
        return sums

    def _step_of_block(self, number: tf.Tensor, *block: tf.Tensor) -> tf.Tensor:
        return self._step(*(values[number] for values in block))

    def _over_replicas(self, added: tf.distribute.DistributedValues) -> tf.Tensor:
        # Small networks notice every operation of a step.
        if self._strategy.num_replicas_in_sync == 1:
            return self._strategy.experimental_local_results(added)[0]
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, added, axis=None)

    def _step(self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
        """One replica's part of one step; returns what it adds to the sums, float32[`SUMS`]."""
        total = self._batch if weights is None else self._total(weights)
        # Over the global batch, so that the replicas' sum is the mean whatever their number.
        sums, gradients = self._gradients((images, labels, weights), total)
        updates.apply(
            self._optimizer,
            gradients,
            self._model.trainable_variables,
            clip_norm=self._recipe.clip_norm,
        )
        return sums

    def _total(self, weights: tf.Tensor) -> tf.Tensor:
        mine = tf.reduce_sum(weights)
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, mine)

    def _gradients(
        self, batch: tuple[tf.Tensor | None, ...], total: int | tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        if self._recipe.accumulate == 1:
            return self._compiled(batch, total)
        shapes = [variable.shape for variable in self._model.trainable_variables]

        def add(part: tf.Tensor, sums: tf.Tensor, *gradients: tf.Tensor) -> tuple[tf.Tensor, ...]:
            start = part * self._part_size
            slices = tuple(
                None if values is None else values[start : start + self._part_size] for values in batch
            )
            more, found = self._compiled(slices, total)
            return part + 1, sums + more, *(a + b for a, b in zip(gradients, found, strict=True))

        # One after the other, or the parts' activations would be in memory together after all.
        _, sums, *gradients = tf.while_loop(
            lambda part, *_: part < self._recipe.accumulate,
            add,
            (tf.constant(0), tf.zeros(SUMS), *(tf.zeros(shape) for shape in shapes)),
            parallel_iterations=1,
        )
        return sums, gradients

    def _part(
        self, batch: tuple[tf.Tensor | None, ...], total: int | tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        images, labels, weights = batch
        assert labels is not None
        targets = tf.one_hot(labels, CLASSES) if self._recipe.one_hot else labels
        # The very images that the student gets: an answer to the image as it was says less of them.
        taught = None if self._teacher is None else self._teacher(images)
        with tf.GradientTape() as tape:
            probabilities = self._model(images, training=True)
            losses = self._loss(targets, probabilities)
            if taught is not None:
                losses = distillation.mixed(losses, probabilities, taught=taught, recipe=self._recipe)
            summed = tf.reduce_sum(losses if weights is None else losses * weights)
            loss = summed / total + self._regularisation()
        gradients = tape.gradient(loss, self._model.trainable_variables)
        answers = tf.argmax(probabilities, axis=1, output_type=tf.int32)
        right = tf.reduce_sum(tf.cast(answers == tf.cast(labels, tf.int32), tf.float32))
        weight = float(self._part_size) if weights is None else tf.reduce_sum(weights)
        return tf.stack([summed, right, weight]), gradients

    def _regularisation(self) -> tf.Tensor:
        """What layers add to the loss, once for all replicas and parts."""
        shares = self._strategy.num_replicas_in_sync * self._recipe.accumulate
        return tf.add_n(self._model.losses) / shares if self._model.losses else 0.0


def average_statistics(model: keras.Model, strategy: tf.distribute.Strategy) -> Callable[[], None]:
    """Returns a function that makes the replicas' moving averages one.

    Keras lets each replica keep those of its own images, evaluates with them and saves the first
    replica's alone. Moving averages are linear: one mean at the end is the mean of every step.
    """

    def average() -> None:
        context = tf.distribute.get_replica_context()
        for weight in model.non_trainable_weights:
            # Of several workers, TensorFlow takes a tensor here, not the variable.
            weight.assign(context.all_reduce(tf.distribute.ReduceOp.MEAN, tf.identity(weight.value)))

    return tf.function(lambda: strategy.run(average))
