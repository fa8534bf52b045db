"""Ends a training: measures the trained network, and writes its report and its bundle."""

import dataclasses
import functools
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import keras

from schemas.model import bundle as names
from schemas.model.model_card import ModelCard
from trainer.bundle import export, provenance
from trainer.data.splits import Digits, Split
from trainer.job.result import TrainResult
from trainer.metrics import assessment, calibration, temperature
from trainer.metrics.histograms import confidence_histogram, pixel_histogram
from trainer.metrics.measures import Evaluation
from trainer.printed_command import command_of
from trainer.recipes.parts import overrides
from trainer.recipes.parts.recipe import Recipe
from trainer.report import measuring, writing
from trainer.report.record import Member, RunRecord
from trainer.run import history, run_folder, run_location
from trainer.run.history import Epoch
from trainer.run.run_location import Places
from trainer.train_options import TrainOptions


class Trained(Protocol):
    """A trained network, or the average of several, with the course of its training."""

    @property
    def recipe(self) -> Recipe:
        """The recipe as it was trained."""

    @property
    def replicas(self) -> int:
        """Number of replicas."""

    @property
    def steps(self) -> int:
        """Steps of an epoch."""

    @property
    def model(self) -> keras.Model:
        """The network, of which each replica has a copy."""

    @property
    def history(self) -> list[Epoch]:
        """What each epoch reached."""

    @property
    def seconds(self) -> float:
        """Time that training took."""

    @property
    def learning_rates(self) -> tuple[tuple[int, float], ...]:
        """Steps and their learning rates."""

    def evaluate(self, split: Split) -> Evaluation:
        """Returns the predictions on a split, by all workers together."""

    def evaluate_own(self, split: Split) -> Evaluation:
        """Returns the predictions on a split that this worker alone has."""

    def plain_copy(self) -> keras.Model:
        """Returns the network outside the strategy."""


def conclude(
    options: TrainOptions,
    trainer: Trained,
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
) -> tuple[float, assessment.Evidence]:
    """Returns the temperature, and what the bundle is measured on."""
    evidence = assessment.Evidence(
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


def _card(
    options: TrainOptions,
    trainer: Trained,
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
        accept_threshold=assessment.DEFAULT_THRESHOLD,  # until it is measured what another one accepts
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
    trainer: Trained,
    where: Places,
    *,
    card: ModelCard,
    evidence: assessment.Evidence,
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
        run_location.copy_folder(folder / names.SAVED_MODEL, where.serving)


def _summary(result: TrainResult, where: Places, card: ModelCard) -> str:
    lines = {
        "test accuracy": str(result.test_accuracy),
        "test loss": f"{result.test_loss:.4f}",
        **assessment.told(card),
        "training time": f"{result.seconds:.1f} s, {len(result.history)} epochs",
        "model bundle": where.run.at(run_folder.BUNDLE),
        "history": where.run.at(history.FILE),
        "report": where.run.at(writing.PAGE),
    }
    return "\n".join(f"{name:<14} {value}" for name, value in lines.items())
