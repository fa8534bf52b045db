import zipfile

import keras
import numpy as np
import pytest

from digitmill.confidence.scaling import apply_temperature
from trainer import recipes
from trainer.bundle.initial_weights import _difference
from trainer.metrics.temperature import bake, softmax_layer, unbake


def compiled(model: keras.Model) -> keras.Model:
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    return model


def dense() -> keras.Model:
    return recipes.load("dense-128").model()


def functional() -> keras.Model:
    inputs = keras.Input((28, 28), dtype="uint8")
    hidden = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(hidden))


def average() -> keras.Model:
    inputs = keras.Input((28, 28), dtype="uint8")
    return keras.Model(inputs, keras.layers.Average()([dense()(inputs), functional()(inputs)]))


def behind_a_softmax_layer() -> keras.Model:
    layers = [
        keras.Input((28, 28), dtype="uint8"),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
        keras.layers.Softmax(),
    ]
    return keras.Sequential(layers)


MODELS = {"dense": dense, "functional": functional, "average": average, "softmax": behind_a_softmax_layer}


@pytest.fixture(
    params=[
        "dense",
        pytest.param("average", marks=pytest.mark.slow),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("functional", "softmax")),
    ]
)
def model(request) -> keras.Model:
    keras.utils.set_random_seed(3)
    return compiled(MODELS[request.param]())


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_logits_are_divided(model, digits, temperature):
    before = model(digits[:50], training=False).numpy()
    baked = bake(model, temperature)
    assert baked(digits[:50], training=False).numpy() == pytest.approx(
        apply_temperature(before, temperature), abs=1e-5
    )


def test_a_baked_network_is_saved_without_custom_code_and_can_be_trained(model, digits, labels, tmp_path):
    baked = bake(model, 0.5)
    baked.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert b"trainer" not in archive.read("config.json")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded(digits[:50], training=False).numpy() == pytest.approx(
        baked(digits[:50], training=False).numpy(), abs=1e-6
    )
    before = loaded.evaluate(digits, labels, verbose=0)[0]
    loaded.fit(digits, labels, epochs=2, verbose=0)
    assert loaded.evaluate(digits, labels, verbose=0)[0] < before


@pytest.mark.slow
def test_unbaking_restores_the_weights(model, tmp_path):
    trained = [weight.copy() for weight in model.get_weights()]
    baked = bake(model, 0.37)
    baked.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    unbake(loaded, 0.37)
    for found, expected in zip(loaded.get_weights(), trained, strict=True):
        assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_a_baked_network_keeps_its_architecture(name, tmp_path):
    bake(MODELS[name](), 0.5).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert _difference(loaded, MODELS[name]()) == ""


@pytest.mark.parametrize(("name", "folded"), [("dense", True), ("functional", True), ("average", False)])
def test_only_a_dense_softmax_is_changed_in_its_weights(name, folded):
    built = MODELS[name]()
    assert (softmax_layer(built) is not None) == folded
    baked = bake(built, 0.5)
    assert (baked is built) == folded
    assert baked.count_params() == built.count_params()


@pytest.mark.slow
def test_every_recipe_can_be_baked(digits):
    for name in recipes.NAMES:
        built = recipes.load(name).model()
        before = built(digits[:5], training=False).numpy()
        after = bake(built, 2.0)(digits[:5], training=False).numpy()
        assert after == pytest.approx(apply_temperature(before, 2.0), abs=1e-5)
        assert np.isfinite(after).all()
