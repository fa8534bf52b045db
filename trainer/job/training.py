"""Trains one network: data, network, resume, epochs, bundle and report."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from trainer import recipes
from trainer.bundle.initial_weights import load_initial_weights, load_teacher
from trainer.cluster.collectives import Collectives
from trainer.cluster.restart import PeerLostError
from trainer.cluster.strategy import (
    enable_determinism,
    is_multi_worker,
    local_replicas,
    make_strategy,
    per_replica_batch,
    small_batch_warning,
    worker_index,
)
from trainer.data.reading import Source, Workers
from trainer.data.splits import Digits, balance, warn_about_empty_classes
from trainer.job import hypertune
from trainer.job.finalization import finalize
from trainer.job.result import TrainResult
from trainer.loop.actions.tensorboard import TensorBoard
from trainer.loop.precision import dtype_policy
from trainer.loop.training_loop import Trainer
from trainer.metrics import assessment
from trainer.recipes.parts import overrides
from trainer.recipes.parts.recipe import Recipe
from trainer.run import history
from trainer.run.checkpoints import CheckpointOptions, Checkpoints
from trainer.run.run_location import Places
from trainer.train_options import TrainOptions

_PEER_LOST_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.InternalError,
    tf.errors.CancelledError,
    tf.errors.FailedPreconditionError,
    tf.errors.DeadlineExceededError,
)
"""What collectives raise after a worker has died; which one depends on the moment."""


def train(options: TrainOptions, source: Source, where: Places) -> TrainResult:
    """Train into a claimed run folder; see `trainer.job.train_job.run`."""
    strategy = start_devices(options)
    with lost_peer_errors(strategy):
        return train_with_strategy(strategy, options, source=source, where=where)


def start_devices(options: TrainOptions) -> tf.distribute.Strategy:
    """Initialise TensorFlow's devices and return the strategy; must come before any other use of them.

    Raises:
        UserError: if the batch doesn't divide over the replicas.
    """
    strategy = make_strategy(options.replicas, kind=options.strategy)
    if options.deterministic:
        enable_determinism()
    per_replica_batch(effective_recipe(options).batch, strategy.num_replicas_in_sync)
    return strategy


def effective_recipe(options: TrainOptions) -> Recipe:
    """Return the recipe with the options' overrides."""
    return overrides.apply(recipes.load(options.recipe), options)


@contextlib.contextmanager
def lost_peer_errors(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Context that raises PeerLostError when another worker has died."""
    try:
        yield
    except _PEER_LOST_ERRORS as error:
        if not is_multi_worker(strategy):
            raise
        raise PeerLostError("another worker of this job died") from error


def train_with_strategy(
    strategy: tf.distribute.Strategy, options: TrainOptions, *, source: Source, where: Places
) -> TrainResult:
    """Train one network and write its run folder."""
    recipe = effective_recipe(options)
    chief = worker_index(strategy) == 0
    collectives = Collectives(strategy)
    digits = read_data(options, source, recipe, strategy=strategy)
    assessment.check_target(options.target_accuracy, digits.validation)
    # Of all workers' images in order, since a checkpoint counts steps through that order.
    digest = collectives.digest(digits.train_digest)
    checkpoints = Checkpoints(where.checkpoints)
    trainer = Trainer(
        recipe,
        digits,
        strategy=strategy,
        seed=options.seed,
        teacher=load_teacher(recipe.teacher),
        checkpointing=CheckpointOptions(
            checkpoints, options.checkpoint_steps, _identity(options, recipe, digest)
        ),
        tensorboard=TensorBoard(where.tensorboard) if chief else None,
    )
    if options.init is not None:
        load_initial_weights(options.init, trainer.model)
    if options.resume:
        _resume(trainer, checkpoints, collectives)
    if chief:
        _print_summary(options, trainer, digits)
    for _ in hypertune.report_epochs(trainer.epochs(), chief=chief):
        if chief:
            history.write(trainer.history, where.run.folder)
            where.run.publish(history.FILE)
    return finalize(options, trainer, digits, where=where, write=chief)


def read_data(
    options: TrainOptions, source: Source, recipe: Recipe, *, strategy: tf.distribute.Strategy
) -> Digits:
    """Read this worker's share of the training images, and all of validation and test."""
    count = strategy.num_replicas_in_sync // local_replicas(strategy)
    exchange = Collectives(strategy).exchange if count > 1 else None
    workers = Workers(worker_index(strategy), count, exchange)
    digits = source.read(validation_fraction=recipe.validation_fraction, workers=workers)
    warn_about_empty_classes(digits)
    return balance(digits) if options.class_weights == "balanced" else digits


def _identity(options: TrainOptions, recipe: Recipe, digest: str) -> dict[str, Any]:
    """Return what a resumed run must have in common: everything that the weights depend on."""
    own = {"recipe": options.recipe, "data": options.data, "digest": digest, "seed": options.seed}
    return own | overrides.settings(recipe)


def _resume(trainer: Trainer, checkpoints: Checkpoints, collectives: Collectives) -> None:
    # All workers continue from the newest checkpoint that the chief can read.
    found = checkpoints.load_newest()
    step = int(collectives.broadcast(found.step if found else -1))
    if step < 0:
        return
    trainer.restore(found if found and found.step == step else checkpoints.load(step))


def _print_summary(options: TrainOptions, trainer: Trainer, digits: Digits) -> None:
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
    if (warning := small_batch_warning(recipe.batch, replicas)) is not None:
        print(warning, file=sys.stderr)
    if recipe.precision == "mixed" and dtype_policy(recipe.precision) == "float32":
        print("warning: no bfloat16 on this hardware; training in float32", file=sys.stderr)
    if trainer.state.step:
        steps = recipe.epochs * trainer.steps_per_epoch
        print(f"resumed after step {trainer.state.step:,} of {steps:,}", flush=True)
