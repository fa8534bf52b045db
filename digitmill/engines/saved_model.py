"""Runs a bundle's SavedModel by TensorFlow, which is imported only when an engine is made."""

import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from digitmill.engines.engine import BATCH, EngineError, check_output, predict_in_batches
from digitmill.engines.saved_model_ops import check_ops
from digitmill.extras import install_line
from digitmill.native_log import quiet_stderr
from schemas.digit import SIDE
from schemas.errors import first_line
from schemas.model.bundle import INPUT, OUTPUT, SIGNATURE

_GRAPH: Final = "saved_model.pb"
_FILES: Final = (_GRAPH, "fingerprint.pb")
_FOLDERS: Final = ("assets/", "variables/")


class SavedModelEngine:
    """A SavedModel on TensorFlow's first GPU, or on the CPU, given the contents of its files by path.

    Raises:
        EngineError: when TensorFlow is missing, or when the model cannot be loaded, has an unexpected
            signature, or has ops that do more than compute.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        # Not the folder: its files may have changed since their digests were checked.
        tf = _tensorflow()
        _check_file_names(files)
        check_ops(files[_GRAPH])
        self._tf = tf
        try:
            with (
                tempfile.TemporaryDirectory(prefix="saved-model-") as folder,
                quiet_stderr(shown_on_error=False),
            ):
                _write(pathlib.Path(folder), files)
                self._model = tf.saved_model.load(folder)
                self._signature = self._model.signatures[SIGNATURE]
                self._check_input()
                check_output(self._run(np.zeros((BATCH, SIDE, SIDE), np.uint8)))
        except (tf.errors.OpError, OSError, KeyError, TypeError, ValueError) as error:
            raise EngineError(f"TensorFlow cannot run the SavedModel: {first_line(error)}") from error

    def probabilities(self, digits: np.ndarray) -> np.ndarray:
        """Return float32[N, 10] for uint8[N, 28, 28] canonical digits, any N."""
        try:
            return predict_in_batches(self._run, digits)
        except (self._tf.errors.OpError, ValueError) as error:
            raise EngineError(f"TensorFlow: {first_line(error)}") from error

    def _run(self, batch: np.ndarray) -> np.ndarray:
        return self._signature(**{INPUT: self._tf.constant(batch)})[OUTPUT].numpy()

    def _check_input(self) -> None:
        names = self._signature.structured_input_signature[1]
        spec = names.get(INPUT)
        whole = self._tf.TensorSpec([BATCH, SIDE, SIDE], self._tf.uint8)
        if set(names) != {INPUT} or not spec.is_compatible_with(whole):
            raise EngineError(f"{SIGNATURE} takes {names}, not {INPUT}, uint8[N, {SIDE}, {SIDE}]")


def _tensorflow() -> Any:
    try:
        with quiet_stderr(shown_on_error=False):
            import tensorflow as tf

            # Leaves the rest of a GPU to other processes: TensorFlow takes all of its memory otherwise.
            for gpu in tf.config.list_physical_devices("GPU"):
                _allow_memory_growth(tf, gpu)
            # TF32, the default of GPUs from Ampere on, moves probabilities by more than GOLDEN_TOLERANCE.
            tf.config.experimental.enable_tensor_float_32_execution(False)
    except ImportError as error:
        raise EngineError(
            f"the saved_model engine needs TensorFlow on every worker: {error}. "
            f"Run {install_line('tensorflow')} there, or use --engine litert."
        ) from error
    return tf


def _allow_memory_growth(tf: Any, gpu: Any) -> None:
    try:
        tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        # TensorFlow has started in this process before; it is too late to change this.
        return


def _check_file_names(files: Mapping[str, bytes]) -> None:
    """Refuse files that TensorFlow might read instead of the graph that was checked."""
    for name in files:
        if name not in _FILES and not name.startswith(_FOLDERS):
            raise EngineError(f"unknown file in a SavedModel: {name!r}")
    if _GRAPH not in files:
        raise EngineError(f"a SavedModel without {_GRAPH}: {sorted(files)}")


def _write(folder: pathlib.Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        if ".." in path.parts:
            raise EngineError(f"a file of a SavedModel outside its folder: {name!r}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
