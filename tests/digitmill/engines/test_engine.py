import os
import pathlib
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from digitmill.default_model import SHIPPED_MODEL
from digitmill.engines.bundle_loader import Bundle
from digitmill.engines.engine import BATCH, Engine, EngineError, LiteRtEngine
from digitmill.engines.openvino_engine import OpenVinoEngine
from schemas.model.bundle import (
    GOLDEN_BATCH,
    GOLDEN_TOLERANCE_INT8,
    INPUT,
    LITERT_INT8_MODEL,
    LITERT_MODEL,
    OUTPUT,
    OUTPUT_INT8,
    SAVED_MODEL,
    SIGNATURE,
)

NAMES = {LiteRtEngine: "LiteRT", OpenVinoEngine: "OpenVINO"}


@pytest.fixture(scope="module", params=NAMES, ids=NAMES.values())
def make(request: pytest.FixtureRequest) -> type[Engine]:
    """An engine's class."""
    return request.param


@pytest.fixture(scope="module")
def engine(make: type[Engine], bundle: Bundle) -> Engine:
    return make((pathlib.Path(bundle.place) / LITERT_MODEL).read_bytes())


@pytest.mark.parametrize("size", [0, 1, BATCH - 1, BATCH, BATCH + 1, 500])
def test_any_number_of_digits_is_scored(engine: Engine, digits: np.ndarray, size: int) -> None:
    probabilities = engine.probabilities(digits[:size])
    assert probabilities.shape == (size, 10)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_neighbors_and_padding_change_no_answer(engine: Engine, digits: np.ndarray) -> None:
    together = engine.probabilities(digits[:300])
    np.testing.assert_array_equal(engine.probabilities(digits[:10]), together[:10])
    np.testing.assert_array_equal(engine.probabilities(digits[100:101]), together[100:101])


def test_it_answers_as_the_saved_model_does(engine: Engine, bundle: Bundle, digits: np.ndarray) -> None:
    signature = tf.saved_model.load(str(pathlib.Path(bundle.place) / SAVED_MODEL)).signatures[SIGNATURE]
    expected = signature(**{INPUT: tf.constant(digits)})[OUTPUT].numpy()
    np.testing.assert_allclose(engine.probabilities(digits), expected, atol=1e-5)


def test_threads_take_turns(engine: Engine, digits: np.ndarray) -> None:
    expected = [engine.probabilities(digits[start : start + 50]) for start in range(0, 500, 50)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            scored = pool.map(
                lambda start: engine.probabilities(digits[start : start + 50]), range(0, 500, 50)
            )
            np.testing.assert_array_equal(list(scored), expected)


def test_eight_bits_are_those_of_the_golden_batch(make: type[Engine]) -> None:
    with np.load(SHIPPED_MODEL / GOLDEN_BATCH) as golden:
        digits, expected = golden[INPUT], golden[OUTPUT_INT8]
    found = make((SHIPPED_MODEL / LITERT_INT8_MODEL).read_bytes()).probabilities(digits)
    np.testing.assert_allclose(found, expected, atol=GOLDEN_TOLERANCE_INT8)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.95


def test_engines_that_load_at_once_leave_standard_error_alone(make: type[Engine], bundle: Bundle) -> None:
    before = os.fstat(2)
    model = (pathlib.Path(bundle.place) / LITERT_MODEL).read_bytes()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: make(model), range(12)))
    assert os.path.samestat(os.fstat(2), before)


@pytest.mark.parametrize("model", [b"", b"no model at all", bytes(4096)])
def test_what_is_no_model_is_refused(make: type[Engine], model: bytes) -> None:
    with pytest.raises(EngineError, match=f"{NAMES[make]} cannot run"):
        make(model)


@pytest.mark.parametrize(
    ("shape", "dtype", "width"),
    [([None, 28, 28], tf.float32, 10), ([None, 32, 32], tf.uint8, 10), ([None, 28, 28], tf.uint8, 7)],
)
def test_a_model_with_another_signature_is_refused(
    make: type[Engine], tmp_path: pathlib.Path, shape: list, dtype: tf.DType, width: int
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
        make(model)


def test_a_model_without_the_signature_is_refused(tmp_path: pathlib.Path) -> None:
    module = tf.Module()
    module.serve = tf.function(
        lambda pixels: {"scores": tf.cast(pixels, tf.float32)}, input_signature=[tf.TensorSpec([4], tf.uint8)]
    )
    tf.saved_model.save(module, str(tmp_path), signatures={"other": module.serve})
    model = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path), signature_keys=["other"]).convert()
    with pytest.raises(EngineError, match="serving_default does not map digits to probabilities"):
        LiteRtEngine(model)


def test_what_the_model_refuses_is_an_engines_error(make: type[Engine], engine: Engine) -> None:
    with pytest.raises(EngineError, match=f"{NAMES[make]}: "):
        engine.probabilities(np.zeros((3, 14, 14), np.uint8))


def test_an_engine_that_is_not_installed_names_the_extra(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EngineError, match=r"on every worker: .* Run pip install 'digitmill\[openvino\]'"):
        OpenVinoEngine((pathlib.Path(bundle.place) / LITERT_MODEL).read_bytes())
