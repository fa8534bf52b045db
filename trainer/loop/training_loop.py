"""The training loop: Keras's layers, optimizers and losses, in TensorFlow's own loop.

`model.fit` fails under several workers, and with more than one step per execution under several
replicas. Here steps run inside the graph in chunks, under every strategy alike. Between two chunks, the
loop runs its actions: watchdog, checkpoints, TensorBoard and progress.
"""

import contextlib
import math
import time
from collections.abc import Generator, Iterator, Sequence
from typing import Final

import keras
import numpy as np
import tensorflow as tf

from schemas.errors import UserError
from trainer.cluster.collectives import Collectives
from trainer.cluster.stop_watch import in_steps
from trainer.cluster.strategy import is_multi_worker, local_replicas, per_replica_batch, worker_index
from trainer.data.splits import Digits, Split
from trainer.data.stream import Stream
from trainer.loop import distillation, pipeline, precision, weights
from trainer.loop.actions.action import Action, EpochReport, StepReport
from trainer.loop.actions.checkpointing import Checkpointing
from trainer.loop.actions.preemption import PreemptedError, Preemption
from trainer.loop.actions.progress import Progress
from trainer.loop.actions.tensorboard import TensorBoard
from trainer.loop.actions.watchdog import Watchdog
from trainer.loop.evaluation import Evaluation
from trainer.loop.replicated_network import ReplicatedNetwork
from trainer.loop.steps import StepRunner, StepScheduler
from trainer.loop.training_state import TrainingState
from trainer.recipes.parts import schedules
from trainer.recipes.parts.overrides import with_one_hot_labels
from trainer.recipes.parts.recipe import Recipe
from trainer.run.checkpoints import Checkpoint, CheckpointOptions, check_identity
from trainer.run.history import Epoch, best_epoch

BLOCK_STEPS: Final = 16
"""Steps whose images are fetched together, at most."""

BLOCK_IMAGES: Final = 1_024
"""Images per replica that are fetched together, at most."""


class Trainer:
    """Trains one network.

    Args:
        recipe: the network and how to train it.
        digits: training and validation images, or a stream of them; each worker has its own share of the
            training images.
        strategy: the replicas that share each batch.
        seed: determines initial weights, order of the images, dropout and augmentation.
        teacher: the recipe's teacher network, built outside the strategy; None for recipes without one.
        checkpointing: where and how often to save; None to save nothing.
        tensorboard: where to write events; None for nowhere.

    Attributes:
        model: the network; every replica has a copy.
        evaluator: evaluates it with the weights that it has.
        state: steps, seconds and epochs, including those of earlier processes.

    Raises:
        UserError: if the batch doesn't divide over the replicas, or is larger than the training split.
    """

    def __init__(
        self,
        recipe: Recipe,
        digits: Digits | Stream,
        *,
        strategy: tf.distribute.Strategy,
        seed: int,
        teacher: keras.Model | None = None,
        checkpointing: CheckpointOptions | None = None,
        tensorboard: TensorBoard | None = None,
    ) -> None:
        # What a stream holds shows too late; without such pictures it is the same loss but for rounding.
        with_not_digits = isinstance(digits, Stream) or digits.train_not_digits() > 0
        self.recipe = recipe = with_one_hot_labels(recipe) if with_not_digits else recipe
        self.replicas = strategy.num_replicas_in_sync
        self._digits = digits
        self._strategy = strategy
        self._is_chief = worker_index(strategy) == 0
        self._seed = seed
        self._options = checkpointing or CheckpointOptions()
        self._checkpoint_action = Checkpointing(self.save, self._options.every_steps)
        self._watchdog = Watchdog(self._options.checkpoints)
        self._tensorboard = tensorboard
        self._collectives = Collectives(strategy)
        self._per_replica = per_replica_batch(recipe.batch, self.replicas)
        self.steps_per_epoch = self._collectives.minimum(
            _steps_per_epoch(digits.epoch_images, self._per_replica * local_replicas(strategy))
        )
        if isinstance(digits, Digits):
            _check_patience(recipe, digits)
        # Outside the strategy: the teacher is one constant for all replicas.
        dtype_policy = precision.dtype_policy(recipe.precision)
        predict = distillation.freeze(teacher, dtype_policy=dtype_policy) if teacher is not None else None
        keras.utils.set_random_seed(seed)
        steps = recipe.epochs * self.steps_per_epoch
        self._network = ReplicatedNetwork(recipe, steps, strategy=strategy)
        self.model, self._optimizer = self._network.model, self._network.optimizer
        self.evaluator = self._network.evaluator
        self._runner = StepRunner(
            recipe,
            self.model,
            self._optimizer,
            strategy=strategy,
            per_replica=self._per_replica,
            teacher=predict,
            loss_scale=self._network.loss_scale,
            with_not_digits=with_not_digits,
        )
        self._scheduler = StepScheduler(self.steps_per_epoch)
        self.state = TrainingState(sums=tf.zeros(self._runner.num_sums, tf.float64))
        self._has_final_weights = False

    @property
    def history(self) -> list[Epoch]:
        """The finished epochs."""
        return self.state.history

    @property
    def learning_rates(self) -> tuple[tuple[int, float], ...]:
        """About a hundred of the steps done, each with its learning rate."""
        return schedules.sample_rates(self._optimizer, self.state.step)

    def epochs(self) -> Generator[Epoch]:
        """Train, and yield each epoch when it is finished, validated and saved.

        After the last one, the network holds its final weights: with patience those of the best epoch,
        else with EMA the averages, else the last ones.

        Raises:
            DivergedError: if the loss becomes NaN, infinite or explodes.
            PreemptedError: after SIGTERM or Ctrl-C, when the training is saved.
        """
        if self._has_next_epoch():
            batches = self._batches()
            with self._progress() as progress, Preemption() as preemption, in_steps() as self._record:
                tensorboard = [self._tensorboard] if self._tensorboard is not None else []
                actions = [self._watchdog, self._checkpoint_action, *tensorboard, progress]
                while self._has_next_epoch():
                    self._train_epoch(batches, actions, preemption)
                    report = self._finish_epoch()
                    for action in actions:
                        action.after_epoch(report)
                    yield report.epoch
        self._load_final_weights()

    def evaluate(self, split: Split) -> Evaluation:
        """Return the predictions on a split that all workers hold, with the averaged weights under EMA."""
        with contextlib.ExitStack() as stack:
            if not self._has_final_weights:
                stack.enter_context(weights.averaged(self.model, self._optimizer))
            return self.evaluator.evaluate(split)

    def copy_outside_strategy(self) -> keras.Model:
        """Return a compiled copy of network and optimizer outside the strategy, ready for more training."""
        return self._network.copy_outside_strategy()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint, bit for bit if the number of replicas is the same.

        Raises:
            UserError: if it belongs to another training.
        """
        check_identity(dict(checkpoint.record["identity"]), dict(self._options.identity))
        self._network.from_arrays(checkpoint.arrays)
        self.state = TrainingState.from_checkpoint(checkpoint)

    def save(self) -> None:
        """Write a checkpoint, if the run has any; all workers call it, the chief writes.

        Raises:
            DivergedError: if a weight is NaN or infinite.
        """
        if self._options.checkpoints is None:
            return
        if is_multi_worker(self._strategy):
            # The chief sees only the statistics of its own replicas.
            self._network.average_statistics()
        if not self._is_chief:
            return
        self._check_weights()
        checkpoint = self.state.to_checkpoint(self._network.to_arrays(), self._options.identity)
        self._options.checkpoints.save(checkpoint)

    def _has_next_epoch(self) -> bool:
        history, patience = self.state.history, self.recipe.patience
        if len(history) >= self.recipe.epochs:
            return False
        return patience is None or len(history) - best_epoch(history) < patience

    def _batches(self) -> Iterator:
        is_augmented = self.recipe.augmentation is not None
        if isinstance(self._digits, Stream):
            self._await_images(self._digits)
        self._order = pipeline.BatchOrder(
            steps_per_epoch=self.steps_per_epoch,
            epochs=self.recipe.epochs,
            seed=self._seed,
            start_step=self.state.step,
            worker=worker_index(self._strategy),
            block_steps=1 if is_augmented else max(1, min(BLOCK_STEPS, BLOCK_IMAGES // self._per_replica)),
            checkpoint_steps=self._options.every_steps or 0,
        )
        datasets = pipeline.training_datasets(
            self._digits if isinstance(self._digits, Stream) else self._digits.train,
            strategy=self._strategy,
            per_replica=self._per_replica,
            order=self._order,
            augmentation=self.recipe.augmentation,
        )
        if self._tensorboard is not None and self.state.step == 0:
            # Not through the strategy: under several workers, all would have to take part.
            images, *_ = next(iter(datasets(0, 1)))
            self._tensorboard.write_images(images[0].numpy(), step=0)
        return pipeline.distribute(datasets, self._strategy)

    def _await_images(self, stream: Stream) -> None:
        """Wait for the images of the next step here, where a stop signal ends the wait."""
        epochs, step = divmod(self.state.step, self.steps_per_epoch)
        if epochs:
            stream.whole()
        else:
            stream.wait((step + 1) * self._per_replica * local_replicas(self._strategy))

    def _progress(self) -> Progress:
        return Progress(
            epochs=self.recipe.epochs,
            steps=self.steps_per_epoch,
            batch=self.recipe.batch,
            done=self.state.step,
            enabled=self._is_chief,
        )

    def _train_epoch(self, batches: Iterator, actions: Sequence[Action], preemption: Preemption) -> None:
        """Train the rest of an epoch, chunk by chunk."""
        end = (len(self.history) + 1) * self.steps_per_epoch
        while self.state.step < end:
            report = self._train_chunk(batches, end)
            for action in actions:
                action.after_steps(report)
            if self._poll(preemption, report.seconds):
                self.save()
                raise PreemptedError(self._preemption_message())

    def _train_chunk(self, batches: Iterator, end: int) -> StepReport:
        """Run the next steps in one call of the graph, at most to the epoch's end."""
        started = time.perf_counter()
        state, start, before = self.state, self.state.step, self.state.sums.numpy()
        block_ends = self._next_block_ends(end)
        state.sums = self._runner.run(batches, len(block_ends), sums=state.sums)
        loss, accuracy = self._means(state.sums.numpy() - before, steps=block_ends[-1] - start)
        state.step = block_ends[-1]
        seconds = time.perf_counter() - started
        state.seconds += seconds
        state.epoch_seconds += seconds
        first = len(self.history) * self.steps_per_epoch
        epoch_loss, epoch_accuracy = self._epoch_means()
        return StepReport(
            step=state.step,
            epoch=len(self.history) + 1,
            first=start - first + 1,
            last=state.step - first,
            ends_epoch=state.step == end,
            loss=loss,
            accuracy=accuracy,
            epoch_loss=epoch_loss,
            epoch_accuracy=epoch_accuracy,
            learning_rate=schedules.rate_of(self._optimizer),
            seconds=seconds,
        )

    def _next_block_ends(self, end: int) -> list[int]:
        """Return the last steps of the blocks of the next chunk, which ends where a checkpoint is due."""
        step = self.state.step
        target = min(step + self._scheduler.num_steps, self._checkpoint_action.next_step(step), end)
        ends = [self._order.block_end(step)]
        while ends[-1] < target:
            ends.append(self._order.block_end(ends[-1]))
        return ends

    def _poll(self, preemption: Preemption, seconds: float) -> bool:
        """Return whether any worker was preempted, so that all stop at the same step."""
        times, preempted = self._collectives.all_gather([seconds, preemption.preempted]).T
        self._scheduler.record(times.max())
        self._record(times.max())  # the watch grants the next chunks as much
        return bool(preempted.any())

    def _preemption_message(self) -> str:
        step, checkpoints = self.state.step, self._options.checkpoints
        if checkpoints is None:
            return f"stopped by a signal after step {step}; nothing is saved"
        saved = f"saved to {checkpoints.newest}" if self._is_chief else "the chief saves the checkpoint"
        return f"stopped by a signal after step {step}; {saved}"

    def _finish_epoch(self) -> EpochReport:
        started = time.perf_counter()
        if self.replicas > 1:
            self._network.average_statistics()
        self._check_weights()
        digits = self._digits.whole()
        _check_patience(self.recipe, digits)
        state, split = self.state, digits.validation
        loss, accuracy = self._epoch_means()
        validation = self.evaluate(split) if split is not None else None
        epoch = Epoch(
            epoch=len(self.history) + 1,
            loss=loss,
            accuracy=accuracy,
            val_loss=validation.loss if validation else None,
            val_accuracy=validation.accuracy.value if validation else None,
            seconds=state.epoch_seconds,
            images_per_second=self.steps_per_epoch * self.recipe.batch / state.epoch_seconds,
        )
        state.add_epoch(epoch)
        if self.recipe.patience is not None and best_epoch(state.history) == epoch.epoch:
            with weights.averaged(self.model, self._optimizer):
                state.best_weights = self.model.get_weights()
        state.seconds += time.perf_counter() - started
        return EpochReport(state.step, epoch, validation, is_last=not self._has_next_epoch())

    def _epoch_means(self) -> tuple[float, float]:
        """Return mean loss and accuracy of the current epoch so far."""
        steps = self.state.step - len(self.history) * self.steps_per_epoch
        return self._means(self.state.sums.numpy(), steps=steps)

    def _means(self, sums: np.ndarray, *, steps: int) -> tuple[float, float]:
        """Return the mean loss over some steps, and the accuracy on their digits; NaN without any."""
        loss, right, weight, *digits = sums
        images = digits[0] if digits else steps * self.recipe.batch
        return float(loss / weight) if weight else math.nan, float(right / images) if images else math.nan

    def _load_final_weights(self) -> None:
        if self._has_final_weights:
            return
        if self.state.best_weights is not None:
            self.model.set_weights(self.state.best_weights)
        else:
            weights.assign_averages(self.model, self._optimizer)
        self._has_final_weights = True

    def _check_weights(self) -> None:
        step = self.state.step - len(self.history) * self.steps_per_epoch
        self._watchdog.check_weights(self.model.trainable_variables, epoch=len(self.history) + 1, step=step)


def _check_patience(recipe: Recipe, digits: Digits) -> None:
    if recipe.patience is not None and digits.validation is None:
        raise UserError(
            "--patience needs held-out images",
            value=f"{recipe.patience} with no validation split",
            hint="leave it out, or give data with more images",
        )


def _steps_per_epoch(images: int, batch: int) -> int:
    if images >= batch:
        return images // batch
    raise UserError(
        "the batch is larger than the training split",
        value=f"batch {batch} for {images} images",
        hint=f"give --batch {images} or less",
    )
