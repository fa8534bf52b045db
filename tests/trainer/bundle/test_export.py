import dataclasses
import hashlib
import shutil
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from digitmill.engines.bundle_loader import open_bundle
from schemas.model import bundle
from schemas.model.model_card import Accuracy, ExportedFormat, ModelCard
from tests.trainer import tf32
from trainer import recipes
from trainer.bundle import export, formats
from trainer.data.splits import Digits
from trainer.metrics.assessment import DEFAULT_THRESHOLD, Evidence

CARD = ModelCard(
    recipe="dense-512-256-128",
    data="few",
    data_digest="0" * 64,
    seed=1,
    epochs=1,
    batch=32,
    replicas=1,
    git_commit="",
    parameters=1,
    train_seconds=1.0,
    test_accuracy=Accuracy(9, 10),
    test_loss=0.1,
    validation_accuracy=None,
    temperature=1.0,
    accept_threshold=0.9,
    class_counts=(1,) * 10,
    confidence_histogram=(0.05,) * 20,
    pixel_histogram=(0.05,) * 20,
    versions={},
    files={},
)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """Untrained, but with every kind of layer that behaves otherwise in training."""
    keras.utils.set_random_seed(2)
    built = recipes.load("dense-512-256-128").model()
    # As after some training: neither all zero nor all one, and sure of some answers only.
    rng = np.random.default_rng(0)
    for variable in built.weights:
        least = 0 if "variance" in variable.path else -0.2
        variable.assign(variable + rng.uniform(least, 0.2, variable.shape))
    built.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    built.optimizer.build(built.trainable_variables)
    return built


def evidence(digits: Digits, **settings) -> Evidence:
    return Evidence(
        **{"train": digits.train.images, "validation": digits.validation, "test": digits.test} | settings
    )


@pytest.fixture(scope="module")
def written(model, few_digits, tmp_path_factory):
    target = tmp_path_factory.mktemp("run") / "bundle"
    export.write_bundle(model, CARD, evidence=evidence(few_digits), target=target)
    return target


@pytest.fixture
def no_formats(monkeypatch, written):
    """Take formats that are written already: it is what comes after that is looked at."""

    def copy(model, folder, *, representative):
        del model, representative
        for path in written.iterdir():
            if path.name not in (bundle.CARD, bundle.GOLDEN_BATCH):
                (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / path.name)

    monkeypatch.setattr(formats, "write", copy)


@pytest.fixture(scope="module")
def expected(model, few_digits) -> np.ndarray:
    return model(few_digits.test.images, training=False).numpy()


def test_the_bundle_has_only_its_files(written):
    named = {path.name for path in written.iterdir()}
    assert named == {
        bundle.CARD,
        bundle.KERAS_MODEL,
        bundle.SAVED_MODEL,
        bundle.LITERT_MODEL,
        bundle.LITERT_INT8_MODEL,
        bundle.GOLDEN_BATCH,
    }
    assert [path.name for path in written.parent.iterdir()] == ["bundle"]


def test_other_users_can_read_the_bundle(written):
    assert written.stat().st_mode & 0o055 == 0o055


def test_the_card_holds_the_digest_of_every_other_file(written):
    card = ModelCard.from_json((written / bundle.CARD).read_text())
    files = {path.relative_to(written).as_posix(): path for path in written.rglob("*") if path.is_file()}
    del files[bundle.CARD]
    assert card.files == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    measured = {"files": {}, "exports": (), "trust": None, "litert_model": bundle.LITERT_MODEL}
    assert dataclasses.replace(card, **measured) == CARD


def test_the_card_measures_every_format_on_the_validation_images(written, few_digits):
    card = ModelCard.from_json((written / bundle.CARD).read_text())
    rows = {row.name: row for row in card.exports}
    assert list(rows) == list(export.LOADERS)
    for name, row in rows.items():
        assert row.accuracy.images == len(few_digits.validation)
        assert row.images_per_second > 0
        assert row.bytes == export.size_of(written / name) > 0
        assert row.difference <= (1 if name == bundle.LITERT_INT8_MODEL else 1e-4)
    assert rows[bundle.LITERT_INT8_MODEL].bytes < rows[bundle.LITERT_MODEL].bytes / 3


def test_the_card_has_the_default_formats_coverage(written, few_digits):
    card = ModelCard.from_json((written / bundle.CARD).read_text())
    answers = open_bundle(written).load().probabilities(few_digits.test.images)
    assert card.accept_threshold == DEFAULT_THRESHOLD
    assert card.trust.accepted_test.accepted == (answers.max(axis=1) >= DEFAULT_THRESHOLD).sum()
    assert card.trust.accepted.images == len(few_digits.validation)


def row(name: str, right: int, images: int = 5_000) -> ExportedFormat:
    return ExportedFormat(name, 1, Accuracy(right, images), 1.0, 0.0)


@pytest.mark.parametrize(
    ("float_right", "int8_right", "images", "default"),
    [
        (4_950, 4_960, 5_000, bundle.LITERT_INT8_MODEL),
        (4_950, 4_950, 5_000, bundle.LITERT_INT8_MODEL),
        (1_990, 1_989, 2_000, bundle.LITERT_INT8_MODEL),
        (1_990, 1_988, 2_000, bundle.LITERT_MODEL),
        (497, 496, 500, bundle.LITERT_MODEL),
    ],
)
def test_int8_is_the_default_unless_it_loses_accuracy(float_right, int8_right, images, default):
    rows = [
        row(bundle.KERAS_MODEL, float_right, images),
        row(bundle.LITERT_INT8_MODEL, int8_right, images),
    ]
    assert export.default_litert_model(rows) == default


@pytest.mark.slow
def test_the_keras_model_predicts_the_same_and_can_be_trained(written, expected, few_digits):
    loaded = keras.models.load_model(written / bundle.KERAS_MODEL)
    assert loaded(few_digits.test.images, training=False).numpy() == pytest.approx(expected, abs=1e-6)
    before = loaded.evaluate(few_digits.train.images, few_digits.train.labels, verbose=0)
    loaded.fit(few_digits.train.images, few_digits.train.labels, epochs=3, verbose=0)
    assert loaded.evaluate(few_digits.train.images, few_digits.train.labels, verbose=0) < before


def test_the_keras_model_needs_none_of_this_code(written):
    with zipfile.ZipFile(written / bundle.KERAS_MODEL) as archive:
        assert b"trainer" not in archive.read("config.json")


@pytest.mark.parametrize("count", [1, 7, 103])
def test_the_saved_model_predicts_the_same_for_any_batch(written, expected, few_digits, count):
    signature = tf.saved_model.load(str(written / bundle.SAVED_MODEL)).signatures[bundle.SIGNATURE]
    taken = {
        name: (spec.shape.as_list(), spec.dtype)
        for name, spec in signature.structured_input_signature[1].items()
    }
    assert taken == {bundle.INPUT: ([None, 28, 28], tf.uint8)}
    answers = signature(**{bundle.INPUT: tf.constant(few_digits.test.images[:count])})
    assert list(answers) == [bundle.OUTPUT]
    assert answers[bundle.OUTPUT].numpy() == pytest.approx(expected[:count], abs=1e-5)


@pytest.mark.parametrize("count", [1, 7, 103])
def test_litert_predicts_the_same_for_any_batch(written, expected, few_digits, count):
    interpreter = Interpreter(model_path=str(written / bundle.LITERT_MODEL))
    assert interpreter.get_signature_list() == {
        bundle.SIGNATURE: {"inputs": [bundle.INPUT], "outputs": [bundle.OUTPUT]}
    }
    answers = interpreter.get_signature_runner(bundle.SIGNATURE)(
        **{bundle.INPUT: few_digits.test.images[:count]}
    )
    assert answers[bundle.OUTPUT].dtype == np.float32
    assert answers[bundle.OUTPUT] == pytest.approx(expected[:count], abs=1e-5)


def test_the_golden_batch_has_digits_and_predictions(written, model, few_digits):
    with np.load(written / bundle.GOLDEN_BATCH, allow_pickle=False) as golden:
        digits, probabilities = golden[bundle.INPUT], golden[bundle.OUTPUT]
    assert (digits.shape, digits.dtype) == ((64, 28, 28), np.uint8)
    known = {image.tobytes() for image in few_digits.validation.images}
    assert len({digit.tobytes() for digit in digits} & known) == 64
    assert probabilities == pytest.approx(model(digits, training=False).numpy(), abs=1e-6)


@pytest.mark.slow
def test_fewer_digits_make_a_smaller_golden_batch(model, few_digits, tmp_path, no_formats):
    few = evidence(few_digits, validation=None, test=few_digits.test.take(slice(3)))
    export.write_bundle(model, CARD, evidence=few, target=tmp_path / "bundle")
    with np.load(tmp_path / "bundle" / bundle.GOLDEN_BATCH) as golden:
        assert len(golden[bundle.INPUT]) == 3


class Wrong:
    """An engine that answers a little otherwise."""

    def __init__(self, right, wrong):
        self._right, self._wrong = right, wrong

    def probabilities(self, digits):
        return self._wrong(self._right.probabilities(digits))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *(
            pytest.param(name, lambda right: right + 2, marks=() if number == 0 else pytest.mark.slow)
            for number, name in enumerate(export.LOADERS)
        ),
        (next(iter(export.LOADERS)), lambda right: right * float("nan")),
    ],
)
def test_a_format_that_predicts_otherwise_leaves_no_bundle(
    model, few_digits, tmp_path, monkeypatch, no_formats, name, wrong
):
    right = export.LOADERS[name]
    monkeypatch.setitem(export.LOADERS, name, lambda path: Wrong(right(path), wrong))
    with pytest.raises(export.ExportError, match=f"{name} differs from the model"):
        export.write_bundle(model, CARD, evidence=evidence(few_digits), target=tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_tf32_neither_fails_the_comparison_nor_gets_into_the_golden_batch(
    model, written, few_digits, tmp_path, monkeypatch, no_formats
):
    exact = model(few_digits.validation.images, training=False).numpy()
    tf32.emulate(monkeypatch)
    tf.config.experimental.enable_tensor_float_32_execution(True)
    rounded = model(few_digits.validation.images, training=False).numpy()
    assert np.abs(rounded - exact).max() > bundle.GOLDEN_TOLERANCE
    export.write_bundle(model, CARD, evidence=evidence(few_digits), target=tmp_path / "bundle")
    open_bundle(tmp_path / "bundle", "litert")
    with (
        np.load(tmp_path / "bundle" / bundle.GOLDEN_BATCH) as found,
        np.load(written / bundle.GOLDEN_BATCH) as expected,
    ):
        assert found[bundle.OUTPUT] == pytest.approx(expected[bundle.OUTPUT], abs=1e-5)
    assert tf.config.experimental.tensor_float_32_execution_enabled()


def test_a_wrong_signature_for_files_is_noticed(bundle_path):
    with np.load(bundle_path / bundle.GOLDEN_BATCH) as stored:
        golden = dict(stored)
    export._check_encoded(bundle_path / bundle.SAVED_MODEL, golden)
    golden[bundle.INPUT] = np.roll(golden[bundle.INPUT], 1, axis=0)
    with pytest.raises(export.ExportError, match="encoded_images differs from the model"):
        export._check_encoded(bundle_path / bundle.SAVED_MODEL, golden)


@pytest.mark.slow
def test_a_crash_before_the_card_leaves_no_bundle(model, few_digits, tmp_path, monkeypatch, no_formats):
    def crash(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "digests", crash)
    with pytest.raises(KeyboardInterrupt):
        export.write_bundle(model, CARD, evidence=evidence(few_digits), target=tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_exporting_prints_nothing(model, few_digits, tmp_path, capfd):
    export.write_bundle(model, CARD, evidence=evidence(few_digits), target=tmp_path / "bundle")
    assert capfd.readouterr() == ("", "")
