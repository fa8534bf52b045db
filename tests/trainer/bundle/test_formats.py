import keras
import numpy as np
import pytest

from digitmill.engines.engine import LiteRtEngine
from schemas.model import bundle
from trainer.bundle import formats
from trainer.bundle.keras_engine import KerasEngine
from trainer.data.sources import embedded_sample
from trainer.metrics.temperature import bake


def member(seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((28, 28), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    train = embedded_sample.digits().train
    model.fit(train.images, train.labels, batch_size=64, epochs=3, verbose=0)
    return model


@pytest.fixture(scope="module")
def averaged() -> keras.Model:
    """Two networks' probabilities averaged, with a temperature behind the average."""
    inputs = keras.Input((28, 28), dtype="uint8")
    whole = keras.Model(inputs, keras.layers.Average()([member(1)(inputs), member(2)(inputs)]))
    return bake(whole, 0.6)


@pytest.fixture(scope="module")
def written(averaged, tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    formats.write(averaged, folder, representative=embedded_sample.digits().train.images)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tolerance"), [(bundle.LITERT_MODEL, 1e-4), (bundle.LITERT_INT8_MODEL, 0.1)]
)
def test_formats_of_an_average_with_a_temperature_agree(written, averaged, digits, name, tolerance):
    answers = LiteRtEngine((written / name).read_bytes()).probabilities(digits)
    expected = KerasEngine(averaged).probabilities(digits)
    assert np.abs(answers - expected).max() < tolerance
    assert (answers.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.98


@pytest.mark.slow
def test_int8_still_distinguishes_high_confidences(written, digits):
    answers = LiteRtEngine((written / bundle.LITERT_INT8_MODEL).read_bytes()).probabilities(digits)
    surest = np.unique(answers[answers > 0.9])
    assert len(surest) > 50
    assert surest.max() > 0.999


@pytest.mark.slow
def test_int8_is_far_smaller(written):
    sizes = [(written / name).stat().st_size for name in bundle.LITERT_MODELS]
    assert sizes[1] < sizes[0] / 2


@pytest.mark.slow
def test_few_training_images_suffice(averaged, tmp_path, digits):
    formats.write(averaged, tmp_path, representative=embedded_sample.digits().train.images[:3])
    answers = LiteRtEngine((tmp_path / bundle.LITERT_INT8_MODEL).read_bytes()).probabilities(digits[:5])
    assert np.isfinite(answers).all()
