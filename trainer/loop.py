"""The training loop: Keras's layers, optimizers, losses and metrics, TensorFlow's own loop around them.

Not `model.fit`, which fails under several workers and, with more than one step an execution, under
several replicas. Here the steps of an epoch run inside the graph, and under every strategy alike.
"""

import math
import time
from collections.abc import Iterator

import keras
import tensorflow as tf

from schemas.digit import CLASSES
from schemas.errors import UserError
from trainer import pipeline
from trainer.data.splits import Digits, Split
from trainer.evaluation import Evaluation, Evaluator
from trainer.history import Epoch
from trainer.progress import Progress
from trainer.randomness import separate_replicas
from trainer.recipe import Recipe
from trainer.strategy import per_replica_batch

_STRETCHES = 10
"""Parts of an epoch after which the loss is looked at and progress shown."""


class NotFiniteError(RuntimeError):
    """The loss is no number any more; what was learnt is lost."""


class Trainer:
    """One network in training.

    Args:
        recipe: what to train and how, its batch and epochs included.
        digits: what to train and to validate on.
        strategy: the replicas that share each batch.
        seed: fixes weights, order and dropout.

    Attributes:
        recipe: as given.
        replicas: number of replicas.
        model: the network, of which each replica has a copy.

    Raises:
        UserError: when the batch does not divide over the replicas, or is not filled.
    """

    def __init__(
        self, recipe: Recipe, digits: Digits, *, strategy: tf.distribute.Strategy, seed: int
    ) -> None:
        self.recipe = recipe
        self.replicas = strategy.num_replicas_in_sync
        self._digits = digits
        self._steps = _steps_per_epoch(digits.train, recipe.batch)
        self._per_replica = per_replica_batch(recipe.batch, self.replicas)
        self._seed = seed
        self._strategy = strategy
        keras.utils.set_random_seed(seed)
        with strategy.scope():
            self.model = recipe.model()
            separate_replicas(self.model)
            self._optimizer = recipe.optimizer(recipe.epochs * self._steps)
            self._optimizer.build(self.model.trainable_variables)
            self._summed_loss = recipe.loss(reduction="sum")
            self._loss = keras.metrics.Mean()
            self._accuracy = keras.metrics.SparseCategoricalAccuracy()
        self._run = tf.function(self._run_steps)
        self._agree = tf.function(lambda: strategy.run(self._average_statistics))
        self._evaluator = Evaluator(self.model, strategy)

    def epochs(self) -> Iterator[Epoch]:
        """Trains, shows progress, and yields each epoch when it is done.

        Raises:
            NotFiniteError: when the loss is NaN or infinite.
        """
        images = self._steps * self.recipe.batch
        batches = pipeline.training_batches(
            self._digits.train,
            strategy=self._strategy,
            per_replica=self._per_replica,
            epochs=self.recipe.epochs,
            seed=self._seed,
        )
        with Progress(epochs=self.recipe.epochs, images=images) as progress:
            for number in range(1, self.recipe.epochs + 1):
                started = time.perf_counter()
                self._train(batches, epoch=number, progress=progress)
                seconds = time.perf_counter() - started
                loss, accuracy = float(self._loss.result()), float(self._accuracy.result())
                val_loss, val_accuracy = self._validate(epoch=number)
                epoch = Epoch(number, loss, accuracy, val_loss, val_accuracy, seconds, images / seconds)
                progress.finish_epoch(epoch)
                yield epoch

    def evaluate(self, split: Split) -> Evaluation:
        """Returns the answers of the network as it is now."""
        return self._evaluator.run(split)

    def plain_copy(self) -> keras.Model:
        """Returns the network and its optimizer as they are now, in no strategy, compiled to go on."""
        model = self.recipe.model()
        model.set_weights(self.model.get_weights())
        optimizer = self.recipe.optimizer(self.recipe.epochs * self._steps)
        optimizer.build(model.trainable_variables)
        for copy, variable in zip(optimizer.variables, self._optimizer.variables, strict=True):
            copy.assign(variable.numpy())
        model.compile(optimizer=optimizer, loss=self.recipe.loss(), metrics=["accuracy"])
        return model

    def _train(self, batches: Iterator, *, epoch: int, progress: Progress) -> None:
        """Runs one epoch's steps, a stretch at a time."""
        self._loss.reset_state()
        self._accuracy.reset_state()
        stretch = -(-self._steps // _STRETCHES)
        for start in range(0, self._steps, stretch):
            stop = min(start + stretch, self._steps)
            self._run(batches, tf.constant(stop - start))
            _check_finite(float(self._loss.result()), epoch=epoch, first=start + 1, last=stop)
            progress.advance((stop - start) * self.recipe.batch)
        if self.replicas > 1:
            self._agree()

    def _validate(self, *, epoch: int) -> tuple[float | None, float | None]:
        if self._digits.validation is None:
            return None, None
        evaluation = self.evaluate(self._digits.validation)
        # The last step's update shows in no training loss.
        _check_finite(evaluation.loss, epoch=epoch, first=self._steps, last=self._steps)
        return evaluation.loss, evaluation.accuracy.value

    def _run_steps(self, batches: Iterator, steps: tf.Tensor) -> None:
        for _ in tf.range(steps):
            self._strategy.run(self._step, args=next(batches))

    def _step(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        """One replica's part of one step; the optimizer adds the replicas' gradients."""
        targets = tf.one_hot(labels, CLASSES) if self.recipe.one_hot else labels
        weights = self.model.trainable_variables
        with tf.GradientTape() as tape:
            probabilities = self.model(images, training=True)
            summed = self._summed_loss(targets, probabilities)
            # Over the global batch, so that the replicas' sum is the mean whatever their number.
            loss = summed / self.recipe.batch
        self._optimizer.apply(tape.gradient(loss, weights), weights)
        self._loss.update_state(summed / self._per_replica)
        self._accuracy.update_state(labels, probabilities)

    def _average_statistics(self) -> None:
        """Makes the replicas' moving averages one.

        Keras lets each replica keep those of its own images, evaluates with them and saves the first
        replica's alone. Moving averages are linear: one mean at the end is the mean of every step.
        """
        context = tf.distribute.get_replica_context()
        for weight in self.model.non_trainable_weights:
            weight.assign(context.all_reduce(tf.distribute.ReduceOp.MEAN, weight.value))


def _steps_per_epoch(split: Split, batch: int) -> int:
    if len(split) >= batch:
        return len(split) // batch
    raise UserError(
        "the training images fill at least one batch",
        got=f"batch {batch} for {len(split)} images",
        remedy=f"give --batch {len(split)} or less",
    )


def _check_finite(loss: float, *, epoch: int, first: int, last: int) -> None:
    if not math.isfinite(loss):
        raise NotFiniteError(
            f"the loss became {loss} in epoch {epoch}, steps {first} to {last}: "
            "the learning rate is too high or the images are damaged; nothing was written"
        )
