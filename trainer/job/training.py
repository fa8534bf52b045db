"""A training run from top to bottom."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from trainer import recipes
from trainer.bundle.initial_weights import load_initial_weights
from trainer.cluster.collectives import Agreement
from trainer.cluster.restart import PeerLostError
from trainer.cluster.strategy import (
    is_multi_worker,
    keep_gpus_deterministic,
    local_replicas,
    make_strategy,
    per_replica_batch,
    small_split_warning,
    worker_index,
)
from trainer.cluster.worker_exchange import exchange_over
from trainer.data import class_weights
from trainer.data.source import Source
from trainer.data.splits import Digits
from trainer.job import hypertune
from trainer.job.concluding import conclude
from trainer.job.result import TrainResult
from trainer.loop.actions.tensorboard import TensorBoard
from trainer.loop.precision import policy
from trainer.loop.training_loop import Trainer
from trainer.metrics import assessment
from trainer.recipes.parts import overrides
from trainer.recipes.parts.recipe import Recipe
from trainer.run import history
from trainer.run.checkpoints import Checkpoints, Saving
from trainer.run.run_location import Places
from trainer.train_options import TrainOptions

_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.InternalError,
    tf.errors.CancelledError,
    tf.errors.FailedPreconditionError,
    tf.errors.DeadlineExceededError,
)
"""What a collective raises when a worker has gone; which of them depends on when."""


def train(options: TrainOptions, source: Source, where: Places) -> TrainResult:
    """Runs the job into a run folder that was claimed; see `trainer.job.train_job.run`."""
    strategy = devices(options)
    with told_of_peers(strategy):
        return train_on(strategy, options, source=source, where=where)


def devices(options: TrainOptions) -> tf.distribute.Strategy:
    """Returns the replicas; called before anything else starts TensorFlow's devices.

    Raises:
        UserError: when the batch does not divide over them, which is seen before any data is read.
    """
    strategy = make_strategy(options.replicas, kind=options.strategy)
    if options.deterministic:
        keep_gpus_deterministic()
    per_replica_batch(recipe_of(options).batch, strategy.num_replicas_in_sync)
    return strategy


def recipe_of(options: TrainOptions) -> Recipe:
    """Returns the recipe as the options change it."""
    return overrides.apply(recipes.load(options.recipe), options)


@contextlib.contextmanager
def told_of_peers(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Raises PeerLostError where a worker has gone."""
    try:
        yield
    except _LOST as error:
        if not is_multi_worker(strategy):
            raise
        raise PeerLostError("a worker of this job is gone") from error


def train_on(
    strategy: tf.distribute.Strategy, options: TrainOptions, *, source: Source, where: Places
) -> TrainResult:
    """Trains one network and writes its run folder."""
    # 1. The data, of which each worker holds its share, and the network.
    recipe = recipe_of(options)
    chief = worker_index(strategy) == 0
    agreement = Agreement(strategy)
    digits = read(options, source, recipe, strategy=strategy)
    assessment.check_target(options.target_accuracy, digits.validation)
    # Of all workers' images, in their order: a checkpoint's position counts in it.
    digest = agreement.digest(digits.train_digest)
    checkpoints = Checkpoints(where.checkpoints)
    trainer = Trainer(
        recipe,
        digits,
        strategy=strategy,
        seed=options.seed,
        saving=Saving(checkpoints, options.checkpoint_steps, _identity(options, recipe, digest)),
        board=TensorBoard(where.tensorboard) if chief else None,
    )
    if options.init is not None:
        load_initial_weights(options.init, trainer.model)
    # 2. Where an earlier process stopped.
    if options.resume:
        _resume(trainer, checkpoints, agreement)
    if chief:
        _announce(options, trainer, digits)
    # 3. The epochs; the history is on disk after each.
    for _ in hypertune.reported(trainer.epochs(), chief=chief):
        if chief:
            history.write(trainer.history, where.run.folder)
            where.run.publish(history.FILE)
    # 4. The measures and the bundle.
    return conclude(options, trainer, digits, where=where, write=chief)


def read(
    options: TrainOptions, source: Source, recipe: Recipe, *, strategy: tf.distribute.Strategy
) -> Digits:
    """Returns the digits that the options name, of the training images this worker's share."""
    workers = strategy.num_replicas_in_sync // local_replicas(strategy)
    digits = source.read(
        validation_fraction=recipe.validation_fraction,
        shard=(worker_index(strategy), workers),
        exchange=exchange_over(strategy) if workers > 1 else None,
    )
    class_weights.warn_of_empty_classes(digits)
    return class_weights.balanced(digits) if options.class_weights == "balanced" else digits


def _identity(options: TrainOptions, recipe: Recipe, digest: str) -> dict[str, Any]:
    """What a resumed run must have in common with the one before: all that its weights depend on."""
    own = {"recipe": options.recipe, "data": options.data, "digest": digest, "seed": options.seed}
    return own | overrides.settings(recipe)


def _resume(trainer: Trainer, checkpoints: Checkpoints, agreement: Agreement) -> None:
    # The chief looks for the newest that is whole, and all go on from that one.
    found = checkpoints.load_newest()
    step = int(agreement.of_chief(found.step if found else -1))
    if step < 0:
        return
    trainer.restore(found if found and found.step == step else checkpoints.load(step))


def _announce(options: TrainOptions, trainer: Trainer, digits: Digits) -> None:
    sizes = {name: len(split) for name, split in digits.splits().items()} | {
        "train": sum(digits.train_counts())
    }
    counts = ", ".join(f"{size:,} {name}" for name, size in sizes.items())
    recipe, replicas = trainer.recipe, trainer.replicas
    print(f"{digits.name}: {counts} images")
    print(
        f"{options.recipe}: {trainer.model.count_params():,} parameters, {recipe.epochs} epochs, "
        f"batches of {recipe.batch}, {recipe.batch // replicas} on each of {replicas} replica(s)",
        flush=True,
    )
    if (warning := small_split_warning(recipe.batch, replicas)) is not None:
        print(warning, file=sys.stderr)
    if recipe.precision == "mixed" and policy(recipe.precision) == "float32":
        print("warning: this chip has no bfloat16; all is float32", file=sys.stderr)
    if trainer.done:
        print(f"resumed after step {trainer.done:,} of {recipe.epochs * trainer.steps:,}", flush=True)
