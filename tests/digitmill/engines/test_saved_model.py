import pathlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from digitmill.engines.bundle_loader import Bundle
from digitmill.engines.engine import BATCH, EngineError, LiteRtEngine
from digitmill.engines.saved_model import SavedModelEngine
from schemas.model.bundle import INPUT, OUTPUT, SAVED_MODEL, SIGNATURE


def files_of(folder: pathlib.Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="session")
def files(bundle: Bundle) -> dict[str, bytes]:
    return files_of(pathlib.Path(bundle.place) / SAVED_MODEL)


@pytest.fixture(scope="session")
def loaded(files: dict[str, bytes]) -> SavedModelEngine:
    return SavedModelEngine(files)


@pytest.mark.parametrize("size", [0, 1, BATCH - 1, BATCH, BATCH + 1, 500])
def test_any_number_of_digits_is_scored_as_litert_does(
    loaded: SavedModelEngine, engine: LiteRtEngine, digits: np.ndarray, size: int
) -> None:
    probabilities = loaded.probabilities(digits[:size])
    assert (probabilities.shape, probabilities.dtype) == ((size, 10), np.float32)
    np.testing.assert_allclose(probabilities, engine.probabilities(digits[:size]), atol=1e-5)


def test_one_shape_is_traced_once(loaded: SavedModelEngine, digits: np.ndarray) -> None:
    together = loaded.probabilities(digits[:300])
    np.testing.assert_array_equal(loaded.probabilities(digits[:10]), together[:10])
    np.testing.assert_array_equal(loaded.probabilities(digits[290:300]), together[290:])


def test_threads_share_it(loaded: SavedModelEngine, digits: np.ndarray) -> None:
    expected = loaded.probabilities(digits)
    with ThreadPoolExecutor(4) as pool:
        for scored in pool.map(lambda _: loaded.probabilities(digits), range(8)):
            np.testing.assert_array_equal(scored, expected)


def test_gpus_multiply_in_full_as_litert_does(files: dict[str, bytes]) -> None:
    tf.config.experimental.enable_tensor_float_32_execution(True)
    SavedModelEngine(files)
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


def test_what_the_model_refuses_is_an_engines_error(loaded: SavedModelEngine) -> None:
    with pytest.raises(EngineError):
        loaded.probabilities(np.zeros((3, 14, 14), np.uint8))


@pytest.mark.parametrize("name", ["saved_model.cpb", "saved_model.pbtxt", "keras_metadata.pb", "../x", "/x"])
def test_a_file_that_might_be_read_instead_is_refused(files: dict[str, bytes], name: str) -> None:
    with pytest.raises(EngineError, match="unknown file in a SavedModel"):
        SavedModelEngine(files | {name: b"x"})


def test_a_file_outside_of_the_folder_is_refused(files: dict[str, bytes]) -> None:
    with pytest.raises(EngineError, match="outside its folder"):
        SavedModelEngine(files | {"variables/../../x": b"x"})


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
def test_a_missing_file_is_an_engines_error(files: dict[str, bytes], name: str) -> None:
    with pytest.raises(EngineError):
        SavedModelEngine({other: data for other, data in files.items() if other != name})


@pytest.mark.parametrize(
    ("shape", "dtype", "width"),
    [([None, 28, 28], tf.float32, 10), ([None, 32, 32], tf.uint8, 10), ([None, 28, 28], tf.uint8, 7)],
)
def test_a_model_with_another_signature_is_refused(
    tmp_path: pathlib.Path, shape: list, dtype: tf.DType, width: int
) -> None:
    module = tf.Module()
    module.serve = tf.function(
        lambda digits: {OUTPUT: tf.zeros([tf.shape(digits)[0], width])},
        input_signature=[tf.TensorSpec(shape, dtype, name=INPUT)],
    )
    tf.saved_model.save(module, str(tmp_path), signatures={SIGNATURE: module.serve})
    with pytest.raises(EngineError):
        SavedModelEngine(files_of(tmp_path))


def test_a_model_without_the_signature_is_refused(tmp_path: pathlib.Path) -> None:
    module = tf.Module()
    module.serve = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([4], tf.uint8)])
    tf.saved_model.save(module, str(tmp_path), signatures={"other": module.serve})
    with pytest.raises(EngineError, match="serving_default"):
        SavedModelEngine(files_of(tmp_path))


def test_without_tensorflow_one_line_says_what_to_do(
    files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(EngineError, match=r"needs TensorFlow on every worker: .* Run pip install") as refused:
        SavedModelEngine(files)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_tensorflow_is_imported_only_when_it_is_chosen(bundle: Bundle) -> None:
    program = (
        "import pathlib, sys; from digitmill.engines.bundle_loader import open_bundle; "
        "import pipelines.score.transforms; "
        f"opened = open_bundle(pathlib.Path({str(bundle.place)!r}), sys.argv[1]); opened.load(); "
        "print('tensorflow' in sys.modules)"
    )
    for engine, imported in (("litert", "False"), ("saved_model", "True")):
        command = [sys.executable, "-c", program, engine]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.split() == [imported]
        assert not done.stderr
