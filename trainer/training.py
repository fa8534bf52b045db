"""A training run from top to bottom."""

import contextlib
import dataclasses
import functools
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from schemas import bundle as names
from schemas.model_card import ModelCard
from trainer import (
    calibration,
    export,
    history,
    hypertune,
    overrides,
    places,
    provenance,
    recipes,
    run_folder,
    temperature,
    trust,
)
from trainer.agreement import Agreement
from trainer.checkpoints import Checkpoints, Saving
from trainer.command import command_of
from trainer.data import class_weights
from trainer.data.source import Source
from trainer.data.splits import Digits
from trainer.histograms import confidence_histogram, pixel_histogram
from trainer.initial_weights import load_initial_weights
from trainer.job import TrainResult
from trainer.loop import Trainer
from trainer.measures import Evaluation
from trainer.options import TrainOptions
from trainer.places import Places
from trainer.precision import policy
from trainer.recipe import Recipe
from trainer.report import measuring, writing
from trainer.report.record import Member, RunRecord
from trainer.restart import PeerLostError
from trainer.strategy import (
    is_multi_worker,
    keep_gpus_deterministic,
    local_replicas,
    make_strategy,
    per_replica_batch,
    small_split_warning,
    worker_index,
)
from trainer.tensorboard import TensorBoard
from trainer.worker_exchange import exchange_over

if TYPE_CHECKING:
    from trainer.ensemble import Ensemble

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
    """Runs the job into a run folder that was claimed; see `trainer.job.run`."""
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
    trust.check_target(options.target_accuracy, digits.validation)
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


def conclude(
    options: TrainOptions,
    trainer: "Trainer | Ensemble",
    digits: Digits,
    *,
    where: Places,
    write: bool,
    noted: Mapping[str, str | int] = types.MappingProxyType({}),
    members: Sequence[Member] = (),
) -> TrainResult:
    """Measures what was trained and, where it is this process's part, writes report and bundle.

    Args:
        options: the job's.
        trainer: holds the network.
        digits: what it was trained on.
        where: the places of the run.
        write: whether this process writes.
        noted: what the card records beside the options' overrides.
        members: of an ensemble, for the report.
    """
    # The test split, looked at once, when no choice is left to make.
    answers = {
        name: trainer.evaluate_own(split) if name == "train" else trainer.evaluate(split)
        for name, split in digits.splits().items()
    }
    # How sure the model is of its answers, on images that it was not trained on.
    divisor, evidence = _calibrate(options, digits, answers.get("validation"))
    evaluations = {name: found.at_temperature(divisor) for name, found in answers.items()}
    card = _card(options, trainer, digits, evaluations=evaluations, divisor=divisor)
    card = dataclasses.replace(card, overrides={**card.overrides, **noted})
    # From here on no worker waits for another.
    recorded = functools.partial(
        measuring.record,
        options,
        trainer.recipe,
        digits,
        uncalibrated=answers,
        calibrated=evaluations,
        learning_rates=trainer.learning_rates,
        members=members,
    )
    return _finish(trainer, where, card=card, evidence=evidence, recorded=recorded, write=write)


def _calibrate(
    options: TrainOptions, digits: Digits, held_out: Evaluation | None
) -> tuple[float, trust.Evidence]:
    """Returns the temperature, and what the bundle is measured on."""
    evidence = trust.Evidence(
        train=digits.train.images,
        validation=digits.validation,
        test=digits.test,
        threshold=options.accept_threshold,
        target=options.target_accuracy,
    )
    if held_out is None:
        return 1.0, evidence
    divisor = calibration.fit_temperature(held_out.probabilities, held_out.labels)
    before = calibration.measure(held_out.probabilities, held_out.labels)
    return divisor, dataclasses.replace(evidence, uncalibrated=before)


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


def _card(
    options: TrainOptions,
    trainer: "Trainer | Ensemble",
    digits: Digits,
    *,
    evaluations: Mapping[str, Evaluation],
    divisor: float,
) -> ModelCard:
    validation = evaluations.get("validation")
    images = trainer.recipe.batch * trainer.steps * len(trainer.history)
    seconds = sum(epoch.seconds for epoch in trainer.history)
    return ModelCard(
        recipe=options.recipe,
        data=digits.name,
        data_digest=digits.digest,
        seed=options.seed,
        epochs=trainer.recipe.epochs,
        batch=trainer.recipe.batch,
        replicas=trainer.replicas,
        git_commit=provenance.git_commit(),
        parameters=trainer.model.count_params(),
        train_seconds=round(trainer.seconds, 3),
        test_accuracy=evaluations["test"].accuracy,
        test_loss=evaluations["test"].loss,
        validation_accuracy=validation.accuracy if validation else None,
        temperature=divisor,
        accept_threshold=trust.DEFAULT_THRESHOLD,  # until it is measured what another one accepts
        class_counts=digits.train_counts(),
        confidence_histogram=confidence_histogram(evaluations["train"]),
        pixel_histogram=pixel_histogram(digits.train.images),
        versions=provenance.versions(),
        files={},
        overrides=overrides.recorded(options, trainer.recipe),
        hardware=provenance.hardware(),
        images_per_second=round(images / seconds, 1) if seconds else None,
        command=command_of(options),
    )


def _finish(
    trainer: "Trainer | Ensemble",
    where: Places,
    *,
    card: ModelCard,
    evidence: trust.Evidence,
    recorded: Callable[..., RunRecord],
    write: bool,
) -> TrainResult:
    bundle = where.run.folder / run_folder.BUNDLE
    result = TrainResult(
        output=where.run.folder,
        bundle=bundle,
        history=tuple(trainer.history),
        validation_accuracy=card.validation_accuracy,
        test_accuracy=card.test_accuracy,
        test_loss=card.test_loss,
        seconds=card.train_seconds,
    )
    if not write:
        return result

    def report(complete: ModelCard) -> None:
        record = recorded(threshold=complete.accept_threshold)
        writing.write_run(where.run, complete, record, epochs=trainer.history)

    model = temperature.bake(trainer.plain_copy(), card.temperature)
    # The report before the bundle: a bundle means that the run is finished.
    card = export.write_bundle(model, card, evidence=evidence, target=bundle, beforehand=report)
    _publish_bundle(where)
    print(_summary(result, where, card))
    return result


def _publish_bundle(where: Places) -> None:
    """Makes the bundle visible, its card last: in a bucket there is no renaming of folders."""
    folder = where.run.folder / run_folder.BUNDLE
    others = sorted(path.name for path in folder.iterdir() if path.name != names.CARD)
    where.run.publish(*(f"{run_folder.BUNDLE}/{name}" for name in (*others, names.CARD)))
    if where.serving is not None:
        places.copy_folder(folder / names.SAVED_MODEL, where.serving)


def _summary(result: TrainResult, where: Places, card: ModelCard) -> str:
    lines = {
        "test accuracy": str(result.test_accuracy),
        "test loss": f"{result.test_loss:.4f}",
        **trust.told(card),
        "training time": f"{result.seconds:.1f} s, {len(result.history)} epochs",
        "model bundle": where.run.at(run_folder.BUNDLE),
        "history": where.run.at(history.FILE),
        "report": where.run.at(writing.PAGE),
    }
    return "\n".join(f"{name:<14} {value}" for name, value in lines.items())
