import keras
import numpy as np
import pytest

from digitmill.engines.engine import BATCH
from schemas.model import bundle
from trainer.bundle.keras_engine import KerasEngine


@pytest.mark.parametrize("count", [0, 1, BATCH, BATCH + 3])
def test_any_number_of_digits_is_predicted_like_the_model(bundle_path, digits, count):
    engine = KerasEngine.load(bundle_path / bundle.KERAS_MODEL)
    answers = engine.probabilities(digits[:count])
    assert (answers.shape, answers.dtype) == ((count, 10), np.float32)
    model = keras.models.load_model(bundle_path / bundle.KERAS_MODEL)
    if count:
        assert answers == pytest.approx(model(digits[:count], training=False).numpy(), abs=1e-6)


def test_a_model_with_code_in_it_is_refused(tmp_path):
    layers = [keras.Input((28, 28)), keras.layers.Lambda(lambda digits: digits), keras.layers.Flatten()]
    keras.Sequential(layers).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="safe_mode"):
        KerasEngine.load(tmp_path / "model.keras")
