"""Ends a training: evaluates the network, calibrates it, and writes report and bundle."""

import dataclasses
import functools
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import keras

from digitmill.confidence import calibration
from schemas.errors import counted
from schemas.model import bundle as names
from schemas.model.model_card import CONFIDENCE_SAMPLE, ModelCard
from trainer.bundle import export, provenance
from trainer.cluster.collectives import Collectives
from trainer.data.sources import credits
from trainer.data.splits import Digits, Split, evenly_spaced
from trainer.job.result import TrainResult
from trainer.loop.evaluation import Evaluator
from trainer.loop.training_state import TrainingState
from trainer.metrics import assessment, temperature
from trainer.metrics.measures import Evaluation, confidence_histogram, count_ink, pixel_histogram
from trainer.recipes.parts import overrides
from trainer.recipes.parts.recipe import Recipe
from trainer.report import measuring, writing
from trainer.report.record import Member, RunRecord
from trainer.run import history as history_file
from trainer.run import run_folder, run_location
from trainer.run.run_location import Places
from trainer.train_options import TrainOptions


class Trained(Protocol):
    """A finished training: of one network (`Trainer`) or of several (`Ensemble`)."""

    recipe: Recipe
    replicas: int
    steps_per_epoch: int
    model: keras.Model
    evaluator: Evaluator
    state: TrainingState

    @property
    def learning_rates(self) -> tuple[tuple[int, float], ...]:
        """Step and their learning rates."""

    def copy_outside_strategy(self) -> keras.Model:
        """Return a copy of the network outside the strategy."""


def finalize(
    options: TrainOptions,
    trainer: Trained,
    digits: Digits,
    *,
    where: Places,
    write: bool,
    collectives: Collectives,
    overridden: Mapping[str, str | int] = types.MappingProxyType({}),
    members: Sequence[Member] = (),
) -> TrainResult:
    """Evaluate a trained network and, in the chief, write report and bundle; the other workers wait for it.

    Raises:
        ExportError: if the bundle does not predict what the network does.
        JobFailedError: in the other workers, if the chief has failed.
    """
    if write:
        print("evaluating all images", flush=True)
    # The first and only look at the test split: no choices are left to make.
    evaluator = trainer.evaluator
    predictions = {
        name: evaluator.evaluate_locally(_sample(split)) if name == "train" else evaluator.evaluate(split)
        for name, split in digits.splits().items()
    }
    divisor, evidence = _calibrate(options, digits, predictions.get("validation"))
    evaluations = {name: found.at_temperature(divisor) for name, found in predictions.items()}
    card = _card(options, trainer, digits, evaluations=evaluations, divisor=divisor)
    card = dataclasses.replace(card, overrides={**card.overrides, **overridden})
    bundle = where.run.folder / run_folder.BUNDLE
    result = TrainResult(where.run.folder, bundle, tuple(trainer.state.history), card, is_complete=write)
    # If the chief fails here, or is taken away, all workers are needed to resume.
    with collectives.chief_finishes():
        if write:
            record = functools.partial(
                measuring.record,
                options,
                trainer.recipe,
                digits,
                uncalibrated=predictions,
                calibrated=evaluations,
                learning_rates=trainer.learning_rates,
                members=members,
            )
            result = dataclasses.replace(
                result, card=_write(trainer, card, evidence=evidence, where=where, record=record)
            )
    return result


def _write(
    trainer: Trained,
    card: ModelCard,
    *,
    evidence: assessment.Evidence,
    where: Places,
    record: Callable[..., RunRecord],
) -> ModelCard:
    """Write report and bundle, print the summary, and return the complete card."""
    history = trainer.state.history

    def report(complete: ModelCard) -> None:
        where.confirm()
        found = record(threshold=complete.accept_threshold)
        writing.write_run(where.run, complete, found, epochs=history)

    print("measuring and exporting the model, and writing its report", flush=True)
    model = temperature.bake(trainer.copy_outside_strategy(), card.temperature)
    bundle = where.run.folder / run_folder.BUNDLE
    # The report first: a bundle means that the run is finished.
    card = export.write_bundle(model, card, evidence=evidence, target=bundle, before_publishing=report)
    _publish_bundle(where)
    print(_summary(card, where, epochs=len(history)))
    return card


def _sample(train: Split) -> Split:
    """Return the training images, or evenly spaced ones of very many; these are copied."""
    few = len(train) <= CONFIDENCE_SAMPLE
    return train if few else train.take(evenly_spaced(len(train), CONFIDENCE_SAMPLE))


def _calibrate(
    options: TrainOptions, digits: Digits, validation: Evaluation | None
) -> tuple[float, assessment.Evidence]:
    """Return the temperature that calibrates held-out predictions, and the data to assess the bundle on."""
    evidence = assessment.Evidence(
        train=digits.train.images,
        validation=digits.validation,
        test=digits.test,
        threshold=options.accept_threshold,
        target=options.target_accuracy,
        sources=digits.sources,
    )
    if validation is None:
        return 1.0, evidence
    divisor = calibration.fit_temperature(validation.probabilities, validation.labels)
    before = calibration.measure(validation.probabilities, validation.labels)
    return divisor, dataclasses.replace(evidence, uncalibrated=before)


def _card(
    options: TrainOptions,
    trainer: Trained,
    digits: Digits,
    *,
    evaluations: Mapping[str, Evaluation],
    divisor: float,
) -> ModelCard:
    validation = evaluations.get("validation")
    images = trainer.recipe.batch * trainer.steps_per_epoch * len(trainer.state.history)
    seconds = sum(epoch.seconds for epoch in trainer.state.history)
    return ModelCard(
        recipe=options.recipe,
        data=digits.name,
        data_digest=digits.digest,
        data_sources=credits.data_sources(digits),
        seed=options.seed,
        # With --patience fewer than the recipe's; an ensemble's history has those of all members.
        epochs=trainer.recipe.epochs if options.is_ensemble else len(trainer.state.history),
        batch=trainer.recipe.batch,
        replicas=trainer.replicas,
        git_commit=provenance.git_commit(),
        parameters=trainer.model.count_params(),
        train_seconds=round(trainer.state.seconds, 3),
        test_accuracy=evaluations["test"].accuracy,
        test_loss=evaluations["test"].loss,
        validation_accuracy=validation.accuracy if validation else None,
        temperature=divisor,
        accept_threshold=assessment.DEFAULT_THRESHOLD,  # the final one is found with the bundle's models
        class_counts=digits.train_counts(),
        confidence_histogram=confidence_histogram(evaluations["train"]),
        pixel_histogram=pixel_histogram(digits.train),
        ink=count_ink(digits.train),
        versions=provenance.versions(),
        files={},
        overrides=overrides.recorded(options, trainer.recipe),
        hardware=provenance.hardware(),
        images_per_second=round(images / seconds, 1) if seconds else None,
        command=options.command(output="run"),
        not_digits=digits.train_not_digits(),
    )


def _publish_bundle(where: Places) -> None:
    """Publish the bundle, its card last: object stores can't rename a folder atomically."""
    folder = where.run.folder / run_folder.BUNDLE
    others = sorted(path.name for path in folder.iterdir() if path.name != names.CARD)
    where.run.publish(*(f"{run_folder.BUNDLE}/{name}" for name in (*others, names.CARD)))
    if where.serving is not None:
        run_location.copy_folder(folder / names.SAVED_MODEL, where.serving)


def _summary(card: ModelCard, where: Places, *, epochs: int) -> str:
    lines = {
        "test accuracy": str(card.test_accuracy),
        "test loss": f"{card.test_loss:.4f}",
        **assessment.summary(card),
        "training time": f"{card.train_seconds:.1f} s, {counted(epochs, 'epoch')}",
        "model bundle": where.run.at(run_folder.BUNDLE),
        "history": where.run.at(history_file.FILE),
        "report": where.run.at(writing.PAGE),
    }
    return "\n".join(f"{name:<14} {value}" for name, value in lines.items())
