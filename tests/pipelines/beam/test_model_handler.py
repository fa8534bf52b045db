import pathlib
import pickle
import shutil

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

from digitmill.engines.bundle_loader import Bundle
from digitmill.engines.engine import BATCH, LiteRtEngine
from pipelines import BundleModelHandler
from schemas.errors import UserError
from schemas.model import bundle as names


@pytest.fixture(scope="session")
def handler(bundle: Bundle) -> BundleModelHandler:
    return BundleModelHandler(bundle.place)


@pytest.mark.slow
def test_run_inference_returns_the_engines_probabilities(
    handler: BundleModelHandler, bundle: Bundle, digits: np.ndarray
) -> None:
    expected = {
        digit.tobytes(): row.tobytes()
        for digit, row in zip(digits, bundle.load().probabilities(digits), strict=True)
    }
    digest = bundle.digest

    def check(results: list) -> None:
        assert len(results) == 500
        for key, result in results:
            assert result.example.tobytes() == key
            assert result.inference.tobytes() == expected[key]
            assert result.model_id == digest

    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        keyed = pipeline | beam.Create([(digit.tobytes(), digit) for digit in digits])
        assert_that(keyed | RunInference(KeyedModelHandler(handler)), check)
    metrics = pipeline.result.metrics().query()["counters"]
    counted = {
        m.key.metric.name: m.committed for m in metrics if m.key.metric.namespace == "BundleModelHandler"
    }
    assert counted["num_inferences"] == 500


def test_batches_are_the_engines(handler: BundleModelHandler) -> None:
    assert handler.batch_elements_kwargs() == {"min_batch_size": BATCH, "max_batch_size": BATCH}
    assert handler.get_num_bytes([np.zeros((28, 28), np.uint8)] * 3) == 3 * 784


@pytest.mark.parametrize(
    "digit", [np.zeros((28, 28), np.float32), np.zeros((32, 32), np.uint8), np.zeros((28, 28, 1), np.uint8)]
)
def test_an_example_that_is_not_a_canonical_digit_is_refused(
    handler: BundleModelHandler, engine: LiteRtEngine, digit: np.ndarray
) -> None:
    with pytest.raises(ValueError, match=r"not uint8\[28, 28\]"):
        handler.run_inference([digit], engine)


def test_arguments_for_the_model_are_refused(handler: BundleModelHandler) -> None:
    handler.validate_inference_args(None)
    with pytest.raises(ValueError, match="unknown inference_args"):
        handler.validate_inference_args({"k": 1})


def test_the_model_travels_with_the_handler(
    bundle_path: pathlib.Path, tmp_path: pathlib.Path, digits: np.ndarray
) -> None:
    packed = pickle.dumps(BundleModelHandler(shutil.copytree(bundle_path, tmp_path / "copy")))
    shutil.rmtree(tmp_path / "copy")
    elsewhere = pickle.loads(packed)
    (result,) = elsewhere.run_inference(digits[:1], elsewhere.load_model())
    assert result.inference.shape == (10,)


def test_beams_model_refresh_switches_the_bundle(
    bundle_path: pathlib.Path, tmp_path: pathlib.Path, digits: np.ndarray
) -> None:
    refreshed = BundleModelHandler(shutil.copytree(bundle_path, tmp_path / "old"))
    newer = shutil.copytree(bundle_path, tmp_path / "new")
    card = (newer / names.CARD).read_text()
    (newer / names.CARD).write_text(card + "\n")
    before = refreshed.run_inference(digits[:1], refreshed.load_model())
    refreshed.update_model_path(None)
    refreshed.update_model_path(str(newer))
    shutil.rmtree(tmp_path / "old")
    after = refreshed.run_inference(digits[:1], refreshed.load_model())
    assert next(iter(before)).model_id != next(iter(after)).model_id


def test_a_bundle_that_cannot_be_used_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="not a model bundle"):
        BundleModelHandler(tmp_path)
