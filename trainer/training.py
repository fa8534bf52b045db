"""A training run from top to bottom."""

import dataclasses
import time
from collections.abc import Mapping, Sequence

from schemas.model_card import ModelCard
from trainer import export, history, plots, provenance, recipes, run_folder
from trainer.data import class_weights
from trainer.data.source import Source
from trainer.data.splits import Digits
from trainer.evaluation import Evaluation
from trainer.histograms import confidence_histogram, pixel_histogram
from trainer.history import Epoch
from trainer.initial_weights import load_initial_weights
from trainer.job import TrainResult
from trainer.loop import Trainer
from trainer.options import TrainOptions
from trainer.recipe import Recipe
from trainer.strategy import make_strategy, per_replica_batch


def train(options: TrainOptions, source: Source) -> TrainResult:
    """Runs the job into a run folder that was claimed; see `trainer.job.run`."""
    # 1. The devices, before anything else starts TensorFlow's. A batch that does not divide over
    #    them is refused before any data is read.
    strategy = make_strategy(options.replicas)
    recipe = _with_overrides(recipes.load(options.recipe), options)
    per_replica_batch(recipe.batch, strategy.num_replicas_in_sync)
    # 2. The data, and the network.
    digits = source.read(validation_fraction=recipe.validation_fraction)
    class_weights.warn_of_empty_classes(digits)
    if options.class_weights == "balanced":
        digits = class_weights.balanced(digits)
    trainer = Trainer(recipe, digits, strategy=strategy, seed=options.seed)
    if options.init is not None:
        load_initial_weights(options.init, trainer.model)
    _announce(options, trainer, digits)
    # 3. The epochs; the history is on disk after each.
    started = time.perf_counter()
    epochs: list[Epoch] = []
    for epoch in trainer.epochs():
        epochs.append(epoch)
        history.write(epochs, options.output)
    seconds = time.perf_counter() - started
    # 4. The test split, looked at once, when no choice is left to make.
    evaluations = {name: trainer.evaluate(split) for name, split in digits.splits().items()}
    # 5. Pictures before the bundle: a bundle means that the run is finished.
    plots.write(options.output / run_folder.PLOTS, epochs, digits=digits, test=evaluations["test"])
    card = _card(options, trainer, digits, evaluations=evaluations, seconds=seconds)
    return _finish(options, trainer, card=card, digits=digits, epochs=epochs)


def _with_overrides(recipe: Recipe, options: TrainOptions) -> Recipe:
    epochs = options.epochs or recipe.epochs
    return dataclasses.replace(recipe, epochs=epochs, batch=options.batch or recipe.batch)


def _announce(options: TrainOptions, trainer: Trainer, digits: Digits) -> None:
    counts = ", ".join(f"{len(split):,} {name}" for name, split in digits.splits().items())
    print(f"{digits.name}: {counts} images")
    print(
        f"{options.recipe}: {trainer.model.count_params():,} parameters, {trainer.recipe.epochs} epochs, "
        f"batches of {trainer.recipe.batch}, {trainer.recipe.batch // trainer.replicas} "
        f"on each of {trainer.replicas} replica(s)",
        flush=True,
    )


def _card(
    options: TrainOptions,
    trainer: Trainer,
    digits: Digits,
    *,
    evaluations: Mapping[str, Evaluation],
    seconds: float,
) -> ModelCard:
    validation = evaluations.get("validation")
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
        train_seconds=round(seconds, 3),
        test_accuracy=evaluations["test"].accuracy,
        test_loss=evaluations["test"].loss,
        validation_accuracy=validation.accuracy if validation else None,
        temperature=1.0,
        accept_threshold=options.accept_threshold,
        class_counts=digits.train_counts(),
        confidence_histogram=confidence_histogram(evaluations["train"]),
        pixel_histogram=pixel_histogram(digits.train.images),
        versions=provenance.versions(),
        files={},
    )


def _finish(
    options: TrainOptions, trainer: Trainer, *, card: ModelCard, digits: Digits, epochs: Sequence[Epoch]
) -> TrainResult:
    bundle = options.output / run_folder.BUNDLE
    golden = digits.validation or digits.test
    export.write_bundle(trainer.plain_copy(), card, digits=golden.images, target=bundle)
    result = TrainResult(
        output=options.output,
        bundle=bundle,
        history=tuple(epochs),
        validation_accuracy=card.validation_accuracy,
        test_accuracy=card.test_accuracy,
        test_loss=card.test_loss,
        seconds=card.train_seconds,
    )
    print(_summary(result))
    return result


def _summary(result: TrainResult) -> str:
    lines = {
        "test accuracy": str(result.test_accuracy),
        "test loss": f"{result.test_loss:.4f}",
        "training time": f"{result.seconds:.1f} s, {len(result.history)} epochs",
        "model bundle": str(result.bundle),
        "history": str(result.output / history.FILE),
        "plots": str(result.output / run_folder.PLOTS),
    }
    return "\n".join(f"{name:<14} {value}" for name, value in lines.items())
