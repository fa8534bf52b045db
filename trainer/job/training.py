"""Trains one network: data, network, resume, epochs, bundle and report."""

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from schemas.errors import counted
from trainer import recipes
from trainer.bundle.initial_weights import load_initial_weights, load_teacher
from trainer.cluster import devices
from trainer.cluster.collectives import Collectives
from trainer.cluster.lost_peers import lost_peer_errors
from trainer.cluster.stop_watch import reclaim_signals
from trainer.cluster.strategy import (
    enable_determinism,
    local_replicas,
    make_strategy,
    per_replica_batch,
    slow_sharing_warning,
    small_batch_warning,
    worker_index,
)
from trainer.data.reading import Source, StreamSource, Workers
from trainer.data.splits import (
    Digits,
    balance,
    check_shares,
    warn_about_empty_classes,
    with_usable_validation,
)
from trainer.data.stream import Stream
from trainer.job import hypertune
from trainer.job.finalization import finalize
from trainer.job.result import TrainResult
from trainer.job.worker_facts import check_data
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


def train(options: TrainOptions, source: Source, where: Places) -> TrainResult:
    """Train into a claimed run folder; see `trainer.job.train_job.run`."""
    strategy = start_devices(options)
    with lost_peer_errors(strategy):
        return train_with_strategy(strategy, options, source=source, where=where)


def start_devices(options: TrainOptions) -> tf.distribute.Strategy:
    """Initialize TensorFlow's devices, say which they are, and return the strategy.

    Must come before any other use of the devices.

    Raises:
        UserError: if there are fewer GPUs than asked for, or the batch doesn't divide over the replicas.
    """
    devices.check_devices(
        options.replicas,
        kind=options.strategy,
        require_gpus=options.require_gpus,
        allow_cpu=options.allow_cpu,
    )
    strategy = make_strategy(options.replicas, kind=options.strategy, all_reduce=options.all_reduce)
    reclaim_signals()
    if options.deterministic:
        enable_determinism()
    print(devices.describe(strategy), flush=True)
    per_replica_batch(effective_recipe(options, strategy).batch, strategy.num_replicas_in_sync)
    return strategy


def effective_recipe(options: TrainOptions, strategy: tf.distribute.Strategy) -> Recipe:
    """Return the recipe with the options' overrides."""
    return overrides.apply(recipes.load(options.recipe), options, replicas=strategy.num_replicas_in_sync)


def train_with_strategy(
    strategy: tf.distribute.Strategy, options: TrainOptions, *, source: Source, where: Places
) -> TrainResult:
    """Train one network and write its run folder."""
    recipe = effective_recipe(options, strategy)
    chief = worker_index(strategy) == 0
    collectives = Collectives(strategy)
    with opened_data(options, source, recipe, strategy=strategy) as digits:
        # Of all workers' images in order, since a checkpoint counts steps through that order.
        digest = collectives.digest(digits.identity)
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
        # As the chief was started: a worker that was replaced by hand may have been given less.
        if collectives.broadcast(options.resume):
            _resume(trainer, checkpoints, collectives)
        if chief:
            _print_summary(options, trainer, digits, strategy=strategy)
        for _ in hypertune.report_epochs(trainer.epochs(), chief=chief):
            if chief:
                where.confirm()
                write_history(trainer.history, where)
        if chief:
            write_history(trainer.history, where)  # a killed process may have saved an epoch, not written it
        whole = digits.whole()
        return finalize(options, trainer, whole, where=where, write=chief, collectives=collectives)


def write_history(epochs: Sequence[history.Epoch], where: Places) -> None:
    """Write and publish `history.csv`."""
    history.write(epochs, where.run.folder)
    where.run.publish(history.FILE)


@contextlib.contextmanager
def opened_data(
    options: TrainOptions, source: Source, recipe: Recipe, *, strategy: tf.distribute.Strategy
) -> Iterator[Digits | Stream]:
    """Context with the data to train on, which all workers have checked; a stream is checked at its end."""
    collectives = Collectives(strategy)

    def check(digits: Digits) -> Digits:
        assessment.check_target(options.target_accuracy, digits.validation)
        if _workers(strategy).count > 1:  # the digest of many images takes a while
            check_data(digits, collectives)
        return digits

    def check_streamed(digits: Digits) -> Digits:
        digits = check(_checked(options, digits, strategy=strategy))
        if worker_index(strategy) == 0:
            print(_sizes(digits), flush=True)
        return digits

    if not options.stream:
        yield check(read_data(options, source, recipe, strategy=strategy))
        return
    if not isinstance(source, StreamSource):
        raise TypeError(f"no source to stream: {source!r}")
    with source.stream(workers=_workers(strategy), check=check_streamed).opened() as stream:
        yield stream


def read_data(
    options: TrainOptions, source: Source, recipe: Recipe, *, strategy: tf.distribute.Strategy
) -> Digits:
    """Read this worker's share of the training images, and all of validation and test."""
    digits = source.read(validation_fraction=recipe.validation_fraction, workers=_workers(strategy))
    return _checked(options, digits, strategy=strategy)


def _workers(strategy: tf.distribute.Strategy) -> Workers:
    count = strategy.num_replicas_in_sync // local_replicas(strategy)
    return Workers(worker_index(strategy), count, Collectives(strategy).exchange if count > 1 else None)


def _checked(options: TrainOptions, digits: Digits, *, strategy: tf.distribute.Strategy) -> Digits:
    """Return the digits with the weights asked for; raise UserError if shares are too uneven."""
    digits = with_usable_validation(digits)
    smallest = Collectives(strategy).minimum(len(digits.train))
    check_shares(digits, smallest=smallest, workers=_workers(strategy).count, least=options.min_used)
    warn_about_empty_classes(digits)
    return balance(digits) if options.class_weights == "balanced" else digits


def _identity(options: TrainOptions, recipe: Recipe, digest: str) -> dict[str, Any]:
    """Return what a resumed run must have in common: everything that the weights depend on."""
    own = {"recipe": options.recipe, "data": options.data, "digest": digest, "seed": options.seed}
    # As a checkpoint holds it: several sources are a tuple here, and a list there.
    return json.loads(json.dumps(own | overrides.settings(recipe)))


def _resume(trainer: Trainer, checkpoints: Checkpoints, collectives: Collectives) -> None:
    # All workers continue from the newest checkpoint that the chief can read.
    found = checkpoints.load_newest()
    step = int(collectives.broadcast(found.step if found else -1))
    if step < 0:
        return
    trainer.restore(found if found and found.step == step else checkpoints.load(step))


def _sizes(digits: Digits) -> str:
    sizes = {name: len(split) for name, split in digits.splits().items()} | {"train": digits.train_images()}
    return f"{digits.name}: {', '.join(f'{size:,} {name}' for name, size in sizes.items())} images"


def _print_summary(
    options: TrainOptions, trainer: Trainer, digits: Digits | Stream, *, strategy: tf.distribute.Strategy
) -> None:
    used = trainer.steps_per_epoch * trainer.recipe.batch
    if isinstance(digits, Stream):
        print(f"{digits.name}: training begins while images are decoded")
        print(f"an epoch uses {used:,} training images, as estimated")
    else:
        print(_sizes(digits))
        print(f"an epoch uses {used:,} of {digits.train_images():,} training images")
    recipe, replicas = trainer.recipe, trainer.replicas
    shared = f", {recipe.batch // replicas} on each of {replicas} replicas" if replicas > 1 else ""
    print(
        f"{options.recipe}: {trainer.model.count_params():,} parameters, {counted(recipe.epochs, 'epoch')}, "
        f"batches of {recipe.batch}{shared}",
        flush=True,
    )
    dense = not any(isinstance(layer, keras.layers.Conv2D) for layer in trainer.model.layers)
    for warning in (small_batch_warning(recipe.batch, replicas), slow_sharing_warning(strategy, dense=dense)):
        if warning is not None:
            print(warning, file=sys.stderr)
    if recipe.precision == "mixed" and dtype_policy(recipe.precision) == "float32":
        print("note: this hardware is no faster in 16 bits; training in float32", file=sys.stderr)
    if trainer.state.step:
        steps = recipe.epochs * trainer.steps_per_epoch
        print(f"resumed after step {trainer.state.step:,} of {steps:,}", flush=True)
