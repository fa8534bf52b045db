"""Whole jobs: from options to a finished run folder."""

import csv
import dataclasses
import functools
import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from schemas.errors import JobFailedError, UserError
from schemas.model import bundle
from schemas.model.model_card import ModelCard
from trainer import recipes
from trainer.bundle import export
from trainer.data.reading import Workers
from trainer.data.sources import embedded_sample
from trainer.data.splits import Digits
from trainer.job import train_job, training
from trainer.job.result import TrainResult
from trainer.loop.actions.watchdog import DivergedError
from trainer.loop.steps import StepRunner
from trainer.report import writing
from trainer.report.record import RunRecord
from trainer.run import run_location
from trainer.train_options import TrainOptions


@dataclasses.dataclass
class MemorySource:
    """A source whose digits are there already, and which remembers what it was asked for."""

    digits: Digits
    fraction: float | None = None

    def read(self, *, validation_fraction: float, workers: Workers) -> Digits:
        assert workers == Workers(index=0, count=1, exchange=None)
        self.fraction = validation_fraction
        return self.digits


def run(digits: Digits, output, **options) -> TrainResult:
    output.mkdir()
    options = {"recipe": "dense-128", "epochs": 2, "batch": 40, "seed": 3, "replicas": 1} | options
    where = run_location.of_run(output, {})
    return training.train(TrainOptions(data="few", output=output, **options), MemorySource(digits), where)


@pytest.fixture(scope="module")
def run_of(few_digits, tmp_path_factory):
    """The finished run of a recipe, made once."""

    @functools.cache
    def make(name: str) -> TrainResult:
        options = {"teacher": str(make("dense-128").bundle)} if recipes.load(name).needs_teacher else {}
        folder = tmp_path_factory.mktemp("runs") / "run"
        return run(few_digits, folder, recipe=name, accept_threshold=0.75, **options)

    return make


QUICK = "dense-128"


# The networks of the others are among these.
@pytest.fixture(
    params=[
        pytest.param(name, marks=() if name == QUICK else pytest.mark.slow)
        for name in recipes.NAMES
        if name not in ("small-cnn", "strong-cnn-robust", "everyday-cnn-refined")
    ]
)
def finished(request, run_of) -> TrainResult:
    return run_of(request.param)


def golden(result: TrainResult) -> dict[str, np.ndarray]:
    with np.load(result.bundle / bundle.GOLDEN_BATCH) as arrays:
        return dict(arrays)


@pytest.mark.slow
def test_every_recipe_writes_a_run_folder_whose_formats_agree(finished, few_digits):
    images = few_digits.test.images
    loaded = keras.models.load_model(finished.bundle / bundle.KERAS_MODEL)
    expected = loaded(images, training=False).numpy()
    served = tf.saved_model.load(str(finished.bundle / bundle.SAVED_MODEL)).signatures[bundle.SIGNATURE]
    runner = Interpreter(str(finished.bundle / bundle.LITERT_MODEL)).get_signature_runner(bundle.SIGNATURE)
    assert served(**{bundle.INPUT: tf.constant(images)})[bundle.OUTPUT].numpy() == pytest.approx(
        expected, abs=1e-5
    )
    assert runner(**{bundle.INPUT: images})[bundle.OUTPUT] == pytest.approx(expected, abs=1e-5)
    # What was measured is what was exported.
    assert int((expected.argmax(axis=1) == few_digits.test.labels).sum()) == finished.card.test_accuracy.right
    charts = {path.stem for path in (finished.output / "report").glob("*.png")}
    assert charts >= {"accuracy", "loss", "learning_rate", "coverage", "confusion", "class_distribution"}


def test_the_card_records_the_training(finished, few_digits):
    card = ModelCard.from_json((finished.bundle / bundle.CARD).read_text())
    recipe = recipes.load(card.recipe)
    assert (card.data, card.data_digest) == ("few", few_digits.digest)
    assert (card.seed, card.epochs, card.batch, card.replicas) == (3, 2, 40, 1)
    assert card.accept_threshold == 0.75
    assert 0.05 <= card.temperature <= 20
    assert card.trust.accepted.threshold == 0.75
    assert card.command.startswith(f"digitmill train --recipe {card.recipe} ")
    assert card.parameters == recipe.model().count_params()
    assert card.class_counts == (40,) * 10
    assert (card.test_accuracy, card.test_loss) == (finished.card.test_accuracy, finished.card.test_loss)
    assert card.validation_accuracy == finished.card.validation_accuracy
    assert (card.test_accuracy.images, card.validation_accuracy.images) == (103, 100)
    assert sum(card.confidence_histogram) == pytest.approx(1)
    assert sum(card.pixel_histogram) == pytest.approx(1)
    assert card.ink.images == 400
    assert card.versions["tensorflow"] == tf.__version__
    overrides = dict(card.overrides)
    assert (recipe.needs_teacher, overrides.pop("teacher", None) is None) in ((True, False), (False, True))
    assert overrides == {"epochs": 2, "batch": 40}
    assert card.hardware["cores"] >= 1
    assert card.hardware["processor"]
    assert card.images_per_second > 0


def test_the_record_holds_the_networks_metrics(finished):
    card = ModelCard.from_json((finished.bundle / bundle.CARD).read_text())
    record = RunRecord.from_json((finished.output / "report" / "data.json").read_text())
    test, validation = record.answers["test"], record.answers["validation"]
    assert (test.right, test.images) == (finished.card.test_accuracy.right, 103)
    assert validation.right == card.validation_accuracy.right
    assert validation.uncalibrated.measured == card.trust.uncalibrated
    assert test.at(card.accept_threshold).threshold == 0.75
    assert record.settings["recipe"] == card.recipe
    assert (record.settings["epochs"], record.settings["batch"], record.settings["seed"]) == (2, 40, 3)
    # 400 images in batches of 40, twice.
    assert [step for step, _ in record.learning_rates] == list(range(20))
    assert all(rate >= 0 for _, rate in record.learning_rates)
    assert max(rate for _, rate in record.learning_rates) > 0


def test_the_report_is_made_again_without_training(finished):
    page = finished.output / "report.html"
    before = page.read_bytes()
    page.unlink()
    writing.rebuild(str(finished.output))
    assert page.read_bytes() == before


@pytest.mark.slow
def test_a_report_that_cannot_be_written_leaves_no_bundle(few_digits, tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(writing, "write_run", full)
    with pytest.raises(OSError, match="no space left"):
        run(few_digits, tmp_path / "run")
    assert not list((tmp_path / "run").glob("*bundle*"))


def test_every_recipe_learns(finished):
    first, second = finished.history
    assert second.loss < first.loss


def test_the_history_file_is_the_results_history(finished):
    with (finished.output / "history.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [int(row["epoch"]) for row in rows] == [1, 2]
    assert float(rows[-1]["val_accuracy"]) == finished.card.validation_accuracy.value
    assert [float(row["loss"]) for row in rows] == [epoch.loss for epoch in finished.history]


@pytest.mark.slow
def test_a_run_is_repeatable_to_the_bit(run_of, few_digits, tmp_path):
    first = run_of("dense-512-256-128")
    second = run(few_digits, tmp_path / "again", recipe="dense-512-256-128")
    assert (golden(first)[bundle.OUTPUT] == golden(second)[bundle.OUTPUT]).all()
    assert first.card.test_loss == second.card.test_loss


@pytest.mark.slow
def test_two_replicas_train_as_good_a_bundle_as_one(run_of, few_digits, tmp_path):
    two = run(few_digits, tmp_path / "two", replicas=2, allow_cpu=True)
    assert run_of("dense-128").card.test_loss == pytest.approx(two.card.test_loss, rel=1e-3)
    assert ModelCard.from_json((two.bundle / bundle.CARD).read_text()).replicas == 2


@pytest.mark.slow
def test_the_test_split_takes_no_part_in_training(run_of, few_digits, tmp_path):
    changed = dataclasses.replace(few_digits, test=few_digits.validation)
    first, second = run_of("dense-128"), run(changed, tmp_path / "changed")
    assert [epoch.val_loss for epoch in first.history] == [epoch.val_loss for epoch in second.history]
    assert (golden(first)[bundle.OUTPUT] == golden(second)[bundle.OUTPUT]).all()


@pytest.mark.slow
def test_without_validation_images_the_golden_batch_is_of_test_images(few_digits, tmp_path):
    result = run(dataclasses.replace(few_digits, validation=None), tmp_path / "run")
    assert result.card.validation_accuracy is None
    known = {digit.tobytes() for digit in few_digits.test.images}
    assert {digit.tobytes() for digit in golden(result)[bundle.INPUT]} <= known
    assert json.loads((result.bundle / bundle.CARD).read_text())["validation_accuracy"] is None


class EnoughError(Exception):
    """Raised where a test has seen what it wanted."""


@pytest.mark.parametrize(("name", "fraction"), [("dense-128", 5_000 / 60_000), ("dense-512-256-128", 0.15)])
def test_the_source_gets_the_recipes_validation_fraction(name, fraction, tmp_path):
    class Asked:
        def read(self, *, validation_fraction, **_):
            assert validation_fraction == fraction
            raise EnoughError

    with pytest.raises(EnoughError):
        training.train(
            TrainOptions(recipe=name, data="few", output=tmp_path), Asked(), run_location.of_run(tmp_path, {})
        )


def test_the_card_has_the_epochs_until_patience_ended(few_digits, tmp_path, monkeypatch):
    def write(model: keras.Model, card: ModelCard, *, target: pathlib.Path, **_: object) -> ModelCard:
        target.mkdir()
        return card

    monkeypatch.setattr(export, "write_bundle", write)
    # Too small a rate to change a weight.
    result = run(few_digits, tmp_path / "run", epochs=5, patience=1, learning_rate=1e-12)
    assert result.card.epochs == len(result.history) == 2
    assert result.card.overrides["epochs"] == 5


def test_a_batch_that_does_not_divide_is_refused_before_data_is_read(tmp_path):
    options = TrainOptions(recipe="cnn", data="few", output=tmp_path, batch=7, replicas=2, allow_cpu=True)
    with pytest.raises(UserError, match="--batch 6"):
        training.train(options, None, run_location.of_run(tmp_path, {}))


@pytest.mark.slow
def test_a_failed_export_loses_no_training(few_digits, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "GOLDEN_TOLERANCE", -1.0)
    with pytest.raises(JobFailedError, match=r"differs from the model by .* With --resume, the export alone"):
        run(few_digits, tmp_path / "run")
    monkeypatch.undo()
    monkeypatch.setattr(StepRunner, "run", lambda *args, **more: pytest.fail("trained again"))
    options = TrainOptions(
        recipe=QUICK, data="few", output=tmp_path / "run", epochs=2, batch=40, seed=3, replicas=1, resume=True
    )
    where = run_location.of_run(tmp_path / "run", {})
    resumed = training.train(options, MemorySource(few_digits), where)
    assert (resumed.bundle / bundle.CARD).exists()
    assert len(resumed.history) == 2


@pytest.mark.slow
def test_a_job_on_the_sample_prints_its_summary(tmp_path, capsys):
    options = TrainOptions(recipe="dense-128", data="sample", output=tmp_path / "run", epochs=3)
    result = train_job.run(options)
    printed = capsys.readouterr().out
    # A floor that a net which learnt nothing, or learnt shuffled labels, does not reach.
    assert result.card.test_accuracy.value > 0.85
    assert printed.startswith("CPU, ")
    assert "sample: 4,000 train, 500 validation, 500 test images" in printed
    assert "3 epochs, batches of 32\n" in printed
    assert f"test accuracy  {result.card.test_accuracy}" in printed
    assert str(tmp_path / "run" / "bundle") in printed
    assert (
        ModelCard.from_json((result.bundle / bundle.CARD).read_text()).data_digest
        == embedded_sample.digits().digest
    )


def test_a_second_run_into_a_finished_one_is_refused(finished):
    options = TrainOptions(recipe="cnn", data="sample", output=finished.output)
    with pytest.raises(UserError, match="--output holds a finished run"):
        train_job.run(options)


@pytest.mark.slow
def test_a_run_that_diverged_leaves_no_bundle_and_may_be_repeated(tmp_path, monkeypatch):
    recipe = dataclasses.replace(
        recipes.load("dense-128"), optimizer=lambda steps: keras.optimizers.SGD(1e30)
    )
    options = TrainOptions(recipe="dense-128", data="sample", output=tmp_path / "run", epochs=1)
    with monkeypatch.context() as patched:
        patched.setattr(recipes, "load", lambda name: recipe)
        with pytest.raises(DivergedError, match="epoch 1"):
            train_job.run(options)
    assert not (tmp_path / "run" / "bundle").exists()
    assert train_job.run(options).bundle.is_dir()
