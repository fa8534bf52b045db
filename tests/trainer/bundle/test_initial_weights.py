import hashlib
import json
import shutil
import zipfile

import keras
import numpy as np
import pytest

from digitmill.confidence.scaling import apply_temperature
from schemas.errors import UserError
from schemas.model import bundle
from schemas.model.model_card import ModelCard
from tests.gcs_emulator import Bucket
from trainer import recipes
from trainer.bundle.initial_weights import load_initial_weights
from trainer.metrics.temperature import unbake


@pytest.fixture
def own_bundle(bundle_path, tmp_path):
    """A copy of a bundle of `dense-128`, to damage."""
    return shutil.copytree(bundle_path, tmp_path / "bundle")


def trained(place) -> list[np.ndarray]:
    """The weights without the temperature."""
    model = keras.models.load_model(place / bundle.KERAS_MODEL, compile=False)
    unbake(model, ModelCard.from_json((place / bundle.CARD).read_text()).temperature)
    return model.get_weights()


def refusal_of(place, model=None) -> str:
    model = model or recipes.load("dense-128").model()
    before = [weight.copy() for weight in model.get_weights()]
    with pytest.raises(UserError) as refusal:
        load_initial_weights(str(place), model)
    assert all((old == new).all() for old, new in zip(before, model.get_weights(), strict=True))
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_the_network_predicts_like_the_bundle(bundle_path, digits):
    model = recipes.load("dense-128").model()
    card = load_initial_weights(str(bundle_path), model)
    stored = keras.models.load_model(bundle_path / bundle.KERAS_MODEL)(digits, training=False).numpy()
    answers = model(digits, training=False).numpy()
    assert apply_temperature(answers, card.temperature) == pytest.approx(stored, abs=1e-5)
    assert card.recipe == "dense-128"


def test_the_temperature_is_taken_out(own_bundle):
    card = own_bundle / bundle.CARD
    fields = json.loads(card.read_text())
    loaded = []
    for temperature in (1.0, 2.0):
        card.write_text(json.dumps(fields | {"temperature": temperature}))
        loaded.append(recipes.load("dense-128").model())
        load_initial_weights(str(own_bundle), loaded[-1])
    *same, kernel, bias = zip(*(model.get_weights() for model in loaded), strict=True)
    assert all((one == other).all() for one, other in same)
    for one, other in (kernel, bias):
        assert 2 * one == pytest.approx(other, rel=1e-6)


def test_both_of_two_replicas_get_the_weights(bundle_path, two_replicas):
    with two_replicas.scope():
        model = recipes.load("dense-128").model()
    load_initial_weights(str(bundle_path), model)
    expected = trained(bundle_path)
    for weight, value in zip(model.weights, expected, strict=True):
        for copy in two_replicas.experimental_local_results(weight.value):
            assert (copy.numpy() == value).all()


def test_a_bundle_in_a_bucket(bundle_path, bucket: Bucket):
    for name in (bundle.CARD, bundle.KERAS_MODEL):
        bucket.put(f"run/bundle/{name}", (bundle_path / name).read_bytes())
    model = recipes.load("dense-128").model()
    load_initial_weights(f"{bucket.uri}/run/bundle", model)
    expected = trained(bundle_path)
    assert all((weight == value).all() for weight, value in zip(model.get_weights(), expected, strict=True))


@pytest.mark.parametrize("place", range(0, 100, 7))
def test_a_damaged_file_is_refused(own_bundle, place):
    path = own_bundle / bundle.KERAS_MODEL
    data = bytearray(path.read_bytes())
    data[len(data) * place // 100] ^= 1
    path.write_bytes(data)
    assert "model.keras is not the file that the card names" in refusal_of(own_bundle)


def test_a_bundle_without_card_or_model_is_refused(own_bundle, tmp_path):
    assert "model_card.json" in refusal_of(tmp_path)
    (own_bundle / bundle.KERAS_MODEL).unlink()
    assert "model.keras" in refusal_of(own_bundle)
    card = own_bundle / bundle.CARD
    fields = json.loads(card.read_text())
    del fields["files"][bundle.KERAS_MODEL]
    card.write_text(json.dumps(fields))
    assert "its card names no model.keras" in refusal_of(own_bundle)
    card.write_text("{}")
    assert "its model_card.json cannot be read" in refusal_of(own_bundle)


def changed(**settings) -> keras.Model:
    """`dense-128` with another hidden layer."""
    layers = [
        keras.Input((28, 28), dtype="uint8"),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Flatten(),
        keras.layers.Dense(**{"units": 128, "activation": "relu"} | settings),
        keras.layers.Dense(10, activation="softmax"),
    ]
    return keras.Sequential(layers)


def test_names_and_initialisers_may_differ(bundle_path):
    load_initial_weights(str(bundle_path), changed(name="another", kernel_initializer="zeros"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"units": 64}, "units=128"),
        ({"activation": "tanh"}, "Dense(activation=relu), the recipe's Dense(activation=tanh)"),
        ({"use_bias": False}, "use_bias=True"),
    ],
)
def test_another_architecture_is_refused_with_the_difference(bundle_path, settings, said):
    message = refusal_of(bundle_path, changed(**settings))
    assert "its layer 3 is" in message
    assert said in message


def test_another_recipe_is_refused_with_the_difference(bundle_path):
    message = refusal_of(bundle_path, recipes.load("cnn").model())
    assert "of the recipe dense-128" in message
    assert "its layer 2 is Flatten, the recipe's Reshape" in message
    model = recipes.load("dense-128").model()
    longer = keras.Sequential([*model.layers, keras.layers.Softmax()])
    assert "it has 4 layers, the recipe 5" in refusal_of(bundle_path, longer)


@pytest.mark.slow
def test_every_recipe_accepts_its_own_weights(tmp_path, few_digits):
    for name in recipes.NAMES:
        first, second = (recipes.load(name).model() for _ in range(2))
        first.save(tmp_path / bundle.KERAS_MODEL)
        saved = keras.models.load_model(tmp_path / bundle.KERAS_MODEL)
        from trainer.bundle.initial_weights import _difference

        assert _difference(saved, second) == ""
        assert np.shape(saved.get_weights()[0]) == np.shape(second.get_weights()[0])


def with_model(place, write) -> None:
    """Put another file in the place of a bundle's Keras model, under a card that names it."""
    path = place / bundle.KERAS_MODEL
    path.unlink()
    write(path)
    card = json.loads((place / bundle.CARD).read_text())
    card["files"][bundle.KERAS_MODEL] = hashlib.sha256(path.read_bytes()).hexdigest()
    (place / bundle.CARD).write_text(json.dumps(card))


def with_lambda(path) -> None:
    network = [keras.Input((28, 28)), keras.layers.Lambda(lambda digits: digits), keras.layers.Flatten()]
    keras.Sequential(network).save(path)


def as_h5(path) -> None:
    keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten()]).save(path.with_suffix(".h5"))
    path.with_suffix(".h5").rename(path)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (with_lambda, "holds code, such as a Lambda layer, which is refused"),
        (as_h5, "model.keras cannot be loaded"),
        (lambda path: path.write_bytes(b""), "model.keras cannot be loaded"),
        (lambda path: path.write_bytes(b"PK\x03\x04"), "model.keras cannot be loaded"),
        (lambda path: path.write_text("no model"), "model.keras cannot be loaded"),
        (lambda path: zipfile.ZipFile(path, "w").close(), "model.keras cannot be loaded"),
    ],
)
def test_what_is_no_plain_network_is_refused(own_bundle, write, said):
    with_model(own_bundle, write)
    assert said in refusal_of(own_bundle)


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "."])
def test_a_file_is_no_bundle(tmp_path, name):
    (tmp_path / "model.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    (tmp_path / "model.keras").write_bytes(b"PK")
    assert "not a model bundle" in refusal_of(tmp_path / name)
