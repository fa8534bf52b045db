import pathlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from digitmill.engines.engine import EngineError, LiteRtEngine
from digitmill.engines.saved_model import SavedModelEngine
from pipelines.scoring.predictions import predict
from schemas.model.bundle import INPUT, OUTPUT, SIGNATURE
from tests.model_writer import saved


class Numbered:
    """An engine whose digits carry a number in their first pixels; some fail it, to some it is silent."""

    def __init__(self, *, failing: set[int], silent: set[int], blank: bool = True) -> None:
        self._failing, self._silent, self._blank = failing, silent, blank
        self.calls = 0

    def probabilities(self, digits: np.ndarray) -> np.ndarray:
        self.calls += 1
        numbers = digits[:, 0, 0].astype(int) + 256 * digits[:, 0, 1].astype(int)
        if not self._failing.isdisjoint(numbers.tolist()) or (not self._blank and not digits.any()):
            raise EngineError("it fails")
        predictions = np.eye(10, dtype=np.float32)[numbers % 10]
        predictions[np.isin(numbers, list(self._silent))] = np.inf
        return predictions


def numbered(count: int) -> np.ndarray:
    digits = np.zeros((count, 28, 28), np.uint8)
    digits[:, 0, 0], digits[:, 0, 1] = np.arange(1, count + 1) % 256, np.arange(1, count + 1) // 256
    return digits


@given(
    st.integers(0, 600), st.sets(st.integers(1, 600), max_size=12), st.sets(st.integers(1, 600), max_size=12)
)
def test_each_digit_has_a_prediction_or_an_error(count: int, failing: set[int], silent: set[int]) -> None:
    bad = {number for number in failing | silent if number <= count}
    if count and len(bad) == count:
        return  # what becomes of those is the next tests' subject
    predictions = predict(Numbered(failing=failing, silent=silent), numbered(count))
    assert {index + 1 for index in predictions.errors} == bad
    assert list(predictions.errors) == sorted(predictions.errors)
    good = [number for number in range(1, count + 1) if number not in bad]
    np.testing.assert_array_equal(
        predictions.probabilities[[n - 1 for n in good]].argmax(axis=1), np.array(good, int) % 10
    )
    assert not predictions.probabilities[[n - 1 for n in bad]].any()


def test_one_bad_digit_costs_few_calls() -> None:
    engine = Numbered(failing={300}, silent=set())
    predict(engine, numbered(512))
    assert engine.calls <= 1 + 2 * 9
    sound = Numbered(failing=set(), silent=set())
    predict(sound, numbered(512))
    assert sound.calls == 1


@pytest.mark.parametrize("silent", [True, False])
def test_an_engine_that_cannot_score_any_of_many_digits_is_broken(silent: bool) -> None:
    every = set(range(1, 101))
    engine = Numbered(failing=set() if silent else every, silent=every if silent else set())
    with pytest.raises(EngineError, match=r"any of 100 images; the first one: (it fails|the probabilities)"):
        predict(engine, numbered(100))


def test_when_a_few_digits_all_fail_a_blank_one_decides() -> None:
    predictions = predict(Numbered(failing={1, 2}, silent=set()), numbered(2))
    assert predictions.errors == {0: "it fails", 1: "it fails"}
    with pytest.raises(EngineError, match="any of 2 images"):
        predict(Numbered(failing={1, 2}, silent=set(), blank=False), numbered(2))


def is_marked(digits: tf.Tensor) -> tf.Tensor:
    return tf.equal(digits[:, 0, 0], 255)


def marked(count: int, marks: list[int]) -> np.ndarray:
    digits = np.ones((count, 28, 28), np.uint8)
    digits[marks, 0, 0] = 255
    return digits


def test_a_saved_model_that_asserts_fails_one_digit(tmp_path: pathlib.Path) -> None:
    saved(tmp_path, lambda digits: tf.debugging.assert_equal(tf.reduce_any(is_marked(digits)), False))
    files = {
        path.relative_to(tmp_path).as_posix(): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    predictions = predict(SavedModelEngine(files), marked(300, [2, 270]))
    assert list(predictions.errors) == [2, 270]
    assert all(said.startswith("TensorFlow: ") for said in predictions.errors.values())
    scored = np.delete(predictions.probabilities, [2, 270], axis=0)
    np.testing.assert_allclose(scored.sum(axis=1), 1, atol=1e-5)


def test_a_litert_model_that_divides_by_zero_fails_one_digit(tmp_path: pathlib.Path) -> None:
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, 28, 28], tf.uint8, name=INPUT)])
    def serve(digits: tf.Tensor) -> dict[str, tf.Tensor]:
        divisor = 2550.0 - 10.0 * tf.cast(digits[:, 0, 0], tf.float32)
        return {OUTPUT: tf.ones([tf.shape(digits)[0], 10]) / divisor[:, None]}

    module.serve = serve
    tf.saved_model.save(module, str(tmp_path), signatures={SIGNATURE: serve})
    model = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path)).convert()
    predictions = predict(LiteRtEngine(model), marked(300, [2, 270]))
    assert predictions.errors == dict.fromkeys([2, 270], "the probabilities are not finite")
    np.testing.assert_allclose(np.delete(predictions.probabilities, [2, 270], axis=0), 1 / 2540)
