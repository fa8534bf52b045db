import os
import pathlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from digitmill.engines.bundle_loader import Bundle
from digitmill.engines.engine import BATCH, EngineError, LiteRtEngine
from schemas.model.bundle import INPUT, LITERT_MODEL, OUTPUT, SAVED_MODEL, SIGNATURE


@pytest.mark.parametrize("size", [0, 1, BATCH - 1, BATCH, BATCH + 1, 500])
def test_any_number_of_digits_is_scored(engine: LiteRtEngine, digits: np.ndarray, size: int) -> None:
    probabilities = engine.probabilities(digits[:size])
    assert probabilities.shape == (size, 10)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_neighbours_and_padding_change_no_answer(engine: LiteRtEngine, digits: np.ndarray) -> None:
    together = engine.probabilities(digits[:300])
    np.testing.assert_array_equal(engine.probabilities(digits[:10]), together[:10])
    np.testing.assert_array_equal(engine.probabilities(digits[100:101]), together[100:101])


def test_it_answers_as_the_saved_model_does(engine: LiteRtEngine, bundle: Bundle, digits: np.ndarray) -> None:
    signature = tf.saved_model.load(str(pathlib.Path(bundle.place) / SAVED_MODEL)).signatures[SIGNATURE]
    expected = signature(**{INPUT: tf.constant(digits)})[OUTPUT].numpy()
    np.testing.assert_allclose(engine.probabilities(digits), expected, atol=1e-5)


def test_threads_take_turns(engine: LiteRtEngine, digits: np.ndarray) -> None:
    expected = [engine.probabilities(digits[start : start + 50]) for start in range(0, 500, 50)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            scored = pool.map(
                lambda start: engine.probabilities(digits[start : start + 50]), range(0, 500, 50)
            )
            np.testing.assert_array_equal(list(scored), expected)


def test_engines_that_load_at_once_leave_standard_error_alone(bundle: Bundle) -> None:
    before = os.fstat(2)
    model = (pathlib.Path(bundle.place) / LITERT_MODEL).read_bytes()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: LiteRtEngine(model), range(12)))
    assert os.path.samestat(os.fstat(2), before)


@pytest.mark.parametrize("model", [b"", b"no model at all", bytes(4096)])
def test_what_is_no_model_is_refused(model: bytes) -> None:
    with pytest.raises(EngineError, match="LiteRT cannot run"):
        LiteRtEngine(model)


@pytest.mark.parametrize(
    ("shape", "dtype", "width"),
    [([None, 28, 28], tf.float32, 10), ([None, 32, 32], tf.uint8, 10), ([None, 28, 28], tf.uint8, 7)],
)
def test_a_model_with_another_signature_is_refused(
    tmp_path: pathlib.Path, shape: list, dtype: tf.DType, width: int
) -> None:
    module = tf.Module()
    module.serve = tf.function(
        lambda digits: {
            OUTPUT: tf.zeros([tf.shape(digits)[0], width]) + tf.reduce_mean(tf.cast(digits, tf.float32))
        },
        input_signature=[tf.TensorSpec(shape, dtype, name=INPUT)],
    )
    tf.saved_model.save(module, str(tmp_path), signatures={SIGNATURE: module.serve})
    model = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path)).convert()
    with pytest.raises(EngineError):
        LiteRtEngine(model)


def test_a_model_without_the_signature_is_refused(tmp_path: pathlib.Path) -> None:
    module = tf.Module()
    module.serve = tf.function(
        lambda pixels: {"scores": tf.cast(pixels, tf.float32)}, input_signature=[tf.TensorSpec([4], tf.uint8)]
    )
    tf.saved_model.save(module, str(tmp_path), signatures={"other": module.serve})
    model = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path), signature_keys=["other"]).convert()
    with pytest.raises(EngineError, match="serving_default does not map digits to probabilities"):
        LiteRtEngine(model)


def test_what_the_model_refuses_is_an_engines_error(engine: LiteRtEngine) -> None:
    with pytest.raises(EngineError, match="LiteRT: "):
        engine.probabilities(np.zeros((3, 14, 14), np.uint8))
