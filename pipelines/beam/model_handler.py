"""Model handler that runs a bundle in Beam's `RunInference`."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from digitmill.engines.bundle_loader import open_bundle
from digitmill.engines.engine import BATCH, Engine
from digitmill.engines.engine_choice import EngineKind
from schemas.digit import SIDE


class BundleModelHandler(ModelHandler[np.ndarray, PredictionResult, Engine]):
    """Runs a bundle in `RunInference`, from uint8[28, 28] canonical digits to `PredictionResult`.

    A result's `inference` is float32[10], the calibrated probabilities of the digits 0 to 9; its
    `model_id` is the bundle's digest. Wrap it in `KeyedModelHandler` to read the output of `ReadDigits`.
    `RunInference` loses a whole batch to one bad example; `ClassifyImages` does not.

    Args:
        model: folder of the bundle, local or in a bucket. The model travels with the pipeline.
        engine: one of `EngineKind`.

    Raises:
        UserError: when the bundle cannot be used.
    """

    def __init__(self, model: str | pathlib.Path, *, engine: str = EngineKind.AUTO) -> None:
        super().__init__(min_batch_size=BATCH, max_batch_size=BATCH)
        self._engine_kind = str(engine)
        self._bundle = open_bundle(model, self._engine_kind).carry()

    def load_model(self) -> Engine:
        """Return the model, loaded from the files that were checked and travel with this handler."""
        return self._bundle.load()

    def run_inference(
        self, batch: Sequence[np.ndarray], model: Engine, inference_args: dict[str, Any] | None = None
    ) -> Iterable[PredictionResult]:
        """Return a result for each example.

        Raises:
            ValueError: when an example is not a canonical digit.
            EngineError: when the model cannot score the batch.
        """
        digits = np.stack(batch)
        if digits.shape[1:] != (SIDE, SIDE) or digits.dtype != np.uint8:
            raise ValueError(f"examples are {digits.dtype}{digits.shape[1:]}, not uint8[{SIDE}, {SIDE}]")
        probabilities = model.probabilities(digits)
        return [
            PredictionResult(example, inference, model_id=self._bundle.digest)
            for example, inference in zip(batch, probabilities, strict=True)
        ]

    def get_num_bytes(self, batch: Sequence[np.ndarray]) -> int:
        """Return the size of a batch's pixels in bytes."""
        return sum(digit.nbytes for digit in batch)

    def get_metrics_namespace(self) -> str:
        """Return the namespace of the metrics that `RunInference` collects."""
        return "BundleModelHandler"

    def validate_inference_args(self, inference_args: Mapping[str, Any] | None) -> None:
        """Raise ValueError for any argument: a bundle's model has none."""
        if inference_args:
            raise ValueError(f"unknown inference_args {sorted(inference_args)}; a bundle takes none")

    def update_model_path(self, model_path: str | None = None) -> None:
        """Switch to another bundle; called by Beam's automatic model refresh."""
        if model_path:
            self._bundle = open_bundle(model_path, self._engine_kind).carry()
