"""The training loop: Keras's layers, optimizers and losses, TensorFlow's own loop around them.

Not `model.fit`, which fails under several workers and, with more than one step an execution, under
several replicas. Here the steps run inside the graph, a stretch at a time, and under every strategy
alike; between stretches there is time for checkpoints, signals and a look at the loss.
"""

import dataclasses
import math
import time
from collections.abc import Iterator
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from schemas.errors import UserError
from trainer.cluster.collectives import Agreement
from trainer.cluster.strategy import is_multi_worker, local_replicas, per_replica_batch, worker_index
from trainer.data.splits import Digits, Split
from trainer.loop import averages, batch_norm, pipeline, precision, updates, variables
from trainer.loop.actions import watchdog
from trainer.loop.actions.preemption import PreemptedError, Preemption
from trainer.loop.actions.progress import Progress
from trainer.loop.actions.tensorboard import TensorBoard
from trainer.loop.evaluation import Evaluation, Evaluator
from trainer.loop.randomness import separate_replicas
from trainer.loop.step_scheduler import Pace
from trainer.loop.steps import SUMS, Steps, average_statistics
from trainer.recipes.parts import schedules
from trainer.recipes.parts.recipe import Recipe
from trainer.run.checkpoints import Checkpoint, Saving, check_identity
from trainer.run.history import Epoch, best_epoch

BLOCK_STEPS: Final = 16
"""Steps whose images are asked for together, at most."""

BLOCK_IMAGES: Final = 1_024
"""Images a replica that are asked for together, at most."""


class Trainer:
    """One network in training.

    Args:
        recipe: what to train and how, its batch and epochs included.
        digits: what to train and to validate on; of several workers each has other training images.
        strategy: the replicas that share each batch.
        seed: fixes weights, order, dropout and augmentation.
        saving: what it is saved to.
        board: what is told to TensorBoard; None for nothing.

    Attributes:
        recipe: as given.
        replicas: number of replicas.
        model: the network, of which each replica has a copy.
        history: the epochs that are done, those of earlier processes included.
        seconds: time of training and validation, that of earlier processes included.

    Raises:
        UserError: when the batch does not divide over the replicas, or is not filled.
    """

    def __init__(
        self,
        recipe: Recipe,
        digits: Digits,
        *,
        strategy: tf.distribute.Strategy,
        seed: int,
        saving: Saving | None = None,
        board: TensorBoard | None = None,
    ) -> None:
        self.recipe = recipe
        self.replicas = strategy.num_replicas_in_sync
        self.history: list[Epoch] = []
        self.seconds = 0.0
        self._digits = digits
        self._strategy = strategy
        self._seed = seed
        self._saving = saving or Saving()
        self._board = board
        self._agreement = Agreement(strategy)
        self._per_replica = per_replica_batch(recipe.batch, self.replicas)
        self._steps = self._agreement.least(
            _steps_per_epoch(digits.train, self._per_replica * local_replicas(strategy))
        )
        # Nowhere within the training, where only the epochs' ends count.
        self._every = self._saving.every or (recipe.epochs + 1) * self._steps
        _check_patience(recipe, digits)
        # In no strategy: it is one constant to all replicas.
        dtype_policy = precision.policy(recipe.precision)
        teacher = recipe.teacher.answers(dtype_policy) if recipe.teacher is not None else None
        keras.utils.set_random_seed(seed)
        with strategy.scope():
            with precision.under(dtype_policy):
                self.model = batch_norm.with_fused(recipe.model())
            separate_replicas(self.model)
            exact = recipe.model() if dtype_policy != "float32" else None
            self._optimizer = updates.make_optimizer(recipe, recipe.epochs * self._steps)
            self._optimizer.build(self.model.trainable_variables)
        size = self._per_replica
        self._runner = Steps(
            recipe, self.model, self._optimizer, strategy=strategy, per_replica=size, teacher=teacher
        )
        self._average_statistics = average_statistics(self.model, strategy)
        self._evaluator = Evaluator(self.model, strategy, exact=exact)
        self._pace = Pace(self._steps)
        self._step = 0
        self._sums = tf.zeros(SUMS, tf.float64)
        self._epoch_seconds = 0.0
        self._best: list[np.ndarray] | None = None
        self._concluded = False

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self._steps

    @property
    def done(self) -> int:
        """Steps done, those of earlier processes included."""
        return self._step

    @property
    def learning_rates(self) -> tuple[tuple[int, float], ...]:
        """Some of the steps done, and the learning rate in each."""
        return schedules.course(self._optimizer, self._step)

    def epochs(self) -> Iterator[Epoch]:
        """Trains, shows progress, saves, and yields each epoch when it is done.

        After the last one the network holds the weights to keep: the best epoch's with the recipe's
        patience, else the averaged ones with its averaging, else the last.

        Raises:
            DivergedError: when the loss is NaN, infinite or exploding.
            PreemptedError: after a SIGTERM, when the training is saved.
        """
        if self._more():
            batches = self._batches()
            with self._progress() as progress, Preemption() as preemption:
                while self._more():
                    self._train_epoch(batches, progress=progress, preemption=preemption)
                    epoch = self._finish_epoch()
                    progress.finish_epoch(epoch)
                    yield epoch
        self._conclude()

    def evaluate(self, split: Split) -> Evaluation:
        """Returns the answers of the network as it is now, averaged weights in place with averaging."""
        if self._concluded:
            return self._evaluator.run(split)
        with averages.in_place(self.model, self._optimizer):
            return self._evaluator.run(split)

    def evaluate_own(self, split: Split) -> Evaluation:
        """Returns the answers on a split that no other worker has or waits for."""
        return self._evaluator.run_alone(split)

    def plain_copy(self) -> keras.Model:
        """Returns the network and its optimizer as they are now, in no strategy, compiled to go on."""
        model = self.recipe.model()
        model.set_weights(self.model.get_weights())
        optimizer = updates.make_optimizer(self.recipe, self.recipe.epochs * self._steps)
        optimizer.build(model.trainable_variables)
        for copy, variable in zip(optimizer.variables, self._optimizer.variables, strict=True):
            copy.assign(variable.numpy())
        model.compile(optimizer=optimizer, loss=self.recipe.loss(), metrics=["accuracy"])
        return model

    def restore(self, checkpoint: Checkpoint) -> None:
        """Goes on from a checkpoint, to the bit where the number of replicas is the same.

        Raises:
            UserError: when it is of another training.
        """
        record = checkpoint.record
        check_identity(dict(record["identity"]), dict(self._saving.identity))
        for name, values in self._saved_variables().items():
            variables.from_arrays(checkpoint.arrays, name, values, strategy=self._strategy)
        self._step = checkpoint.step
        self._sums = tf.constant(record["sums"], tf.float64)
        self._epoch_seconds, self.seconds = record["epoch_seconds"], record["seconds"]
        self.history = [Epoch(**epoch) for epoch in record["history"]]
        if record["best"]:
            self._best = [checkpoint.arrays[f"best/{number}"] for number in range(record["best"])]

    def _more(self) -> bool:
        """Whether there is an epoch to begin or to end."""
        if len(self.history) >= self.recipe.epochs:
            return False
        patience = self.recipe.patience
        return patience is None or len(self.history) - best_epoch(self.history) < patience

    def _batches(self) -> Iterator:
        alone = self.recipe.augmentation is not None
        order = self._order = pipeline.Order(
            steps=self._steps,
            epochs=self.recipe.epochs,
            seed=self._seed,
            start=self._step,
            worker=worker_index(self._strategy),
            block=1 if alone else max(1, min(BLOCK_STEPS, BLOCK_IMAGES // self._per_replica)),
            every=self._saving.every or 0,
        )
        datasets = pipeline.training_datasets(
            self._digits.train,
            strategy=self._strategy,
            per_replica=self._per_replica,
            order=order,
            augmentation=self.recipe.augmentation,
        )
        if self._board is not None and self._step == 0:
            # Not through the strategy, which of several workers none asks alone.
            images, *_ = next(iter(datasets(0, 1)))
            self._board.images(images[0].numpy(), step=0)
        return pipeline.training_batches(datasets, self._strategy)

    def _progress(self) -> Progress:
        return Progress(
            epochs=self.recipe.epochs,
            steps=self._steps,
            batch=self.recipe.batch,
            done=self._step,
            shown=worker_index(self._strategy) == 0,
        )

    def _train_epoch(self, batches: Iterator, *, progress: Progress, preemption: Preemption) -> None:
        """Runs the rest of an epoch's steps, a stretch at a time."""
        end = (len(self.history) + 1) * self._steps
        while self._step < end:
            started = time.perf_counter()
            self._train_stretch(batches, self._next_stretch(end), progress=progress)
            told = self._look_around(time.perf_counter() - started, preemption)
            # An epoch's end waits for what its validation finds, unless there is no time.
            if told or (self._step % self._every == 0 and self._step < end):
                self._save()
            if told:
                raise PreemptedError(self._farewell())

    def _next_stretch(self, end: int) -> list[int]:
        """The ends of the blocks up to the next look around; at a checkpoint's step there is always one."""
        wanted = min(self._step + self._pace.stretch, (self._step // self._every + 1) * self._every, end)
        ends = [self._order.block_end(self._step)]
        while ends[-1] < wanted:
            ends.append(self._order.block_end(ends[-1]))
        return ends

    def _train_stretch(self, batches: Iterator, ends: list[int], *, progress: Progress) -> None:
        before = self._sums.numpy()
        self._sums = self._runner.run(batches, len(ends), sums=self._sums)
        after = self._sums.numpy()
        steps = ends[-1] - self._step
        self._step = ends[-1]
        loss, right, weight = after - before
        self._check(loss / weight if weight else math.nan, steps=steps)
        images = steps * self.recipe.batch
        mean_loss, accuracy = self._means()
        progress.advance(steps, loss=mean_loss, accuracy=accuracy)
        if self._board is not None:
            rate = schedules.rate_of(self._optimizer)
            self._board.stretch(
                step=self._step, loss=loss / weight, accuracy=right / images, learning_rate=rate
            )

    def _look_around(self, seconds: float, preemption: Preemption) -> bool:
        """Counts the time, and returns whether any worker was told to end: all end at the same step."""
        self._epoch_seconds += seconds
        self.seconds += seconds
        times, told = self._agreement.gather([seconds, preemption.told]).T
        self._pace.took(times.max())
        return bool(told.any())

    def _farewell(self) -> str:
        checkpoints = self._saving.checkpoints
        if checkpoints is None:
            return f"told to end after step {self._step}; nothing of it is saved"
        return (
            f"told to end after step {self._step}; all is saved in {checkpoints.newest}: go on with --resume"
        )

    def _finish_epoch(self) -> Epoch:
        started = time.perf_counter()
        if self.replicas > 1:
            self._average_statistics()
        self._check_weights()
        loss, accuracy = self._means()
        validation = self._validate()
        images = self._steps * self.recipe.batch
        epoch = Epoch(
            epoch=len(self.history) + 1,
            loss=loss,
            accuracy=accuracy,
            val_loss=validation.loss if validation else None,
            val_accuracy=validation.accuracy.value if validation else None,
            seconds=self._epoch_seconds,
            images_per_second=images / self._epoch_seconds,
        )
        self.history.append(epoch)
        if self.recipe.patience is not None and best_epoch(self.history) == epoch.epoch:
            self._keep_best()
        self._sums, self._epoch_seconds = tf.zeros(SUMS, tf.float64), 0.0
        self.seconds += time.perf_counter() - started
        if self._saving.every is None or not self._more() or self._step % self._every == 0:
            self._save()
        if self._board is not None:
            self._board.epoch(epoch, step=self._step, validation=validation, last=not self._more())
        return epoch

    def _means(self) -> tuple[float, float]:
        """Mean loss, and share of images answered right, of the epoch so far."""
        loss, right, weight = self._sums.numpy()
        images = (self._step - len(self.history) * self._steps) * self.recipe.batch
        return float(loss / weight), float(right / images)

    def _validate(self) -> Evaluation | None:
        return self.evaluate(self._digits.validation) if self._digits.validation is not None else None

    def _keep_best(self) -> None:
        with averages.in_place(self.model, self._optimizer):
            self._best = self.model.get_weights()

    def _conclude(self) -> None:
        if self._concluded:
            return
        if self._best is not None:
            self.model.set_weights(self._best)
        elif (averaged := averages.values(self._optimizer)) is not None:
            for variable, average in zip(self.model.trainable_variables, averaged, strict=True):
                variable.assign(average.numpy())
        self._concluded = True

    def _check(self, loss: float, *, steps: int) -> None:
        last = self._step - len(self.history) * self._steps
        watchdog.check_loss(
            loss,
            epoch=len(self.history) + 1,
            first=last - steps + 1,
            last=last,
            checkpoint=self._saving.checkpoints.newest if self._saving.checkpoints else None,
        )

    def _check_weights(self) -> None:
        """The last step's update shows in no training loss, and must not be saved or exported."""
        finite = all(np.isfinite(weight.numpy()).all() for weight in self.model.trainable_variables)
        self._check(0.0 if finite else math.nan, steps=1)

    def _saved_variables(self) -> dict[str, list[keras.Variable]]:
        return {"model": self.model.variables, "optimizer": self._optimizer.variables}

    def _save(self) -> None:
        checkpoints = self._saving.checkpoints
        if checkpoints is None:
            return
        if is_multi_worker(self._strategy):
            # The chief sees its own replicas' statistics alone.
            self._average_statistics()
        if worker_index(self._strategy) != 0:
            return
        self._check_weights()
        arrays: dict[str, np.ndarray] = {}
        for name, values in self._saved_variables().items():
            arrays |= variables.to_arrays(name, values, self._strategy)
        arrays |= {f"best/{number}": value for number, value in enumerate(self._best or ())}
        checkpoints.save(Checkpoint(self._step, self._record(), arrays))

    def _record(self) -> dict[str, Any]:
        return {
            "identity": dict(self._saving.identity),
            "history": [dataclasses.asdict(epoch) for epoch in self.history],
            "sums": self._sums.numpy().tolist(),
            "epoch_seconds": self._epoch_seconds,
            "seconds": self.seconds,
            "best": len(self._best or ()),
        }


def _check_patience(recipe: Recipe, digits: Digits) -> None:
    if recipe.patience is not None and digits.validation is None:
        raise UserError(
            "--patience looks at held-out images",
            got=f"{recipe.patience} with no validation split",
            remedy="leave it out, or give data with more images",
        )


def _steps_per_epoch(split: Split, batch: int) -> int:
    if len(split) >= batch:
        return len(split) // batch
    raise UserError(
        "the training images fill at least one batch",
        got=f"batch {batch} for {len(split)} images",
        remedy=f"give --batch {len(split)} or less",
    )
