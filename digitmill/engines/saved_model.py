"""Runs a bundle's SavedModel by TensorFlow, which is imported when the engine is made and not before."""

import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from digitmill.engines.engine import BATCH, EngineError, check_output, in_batches, silent_stderr
from digitmill.engines.saved_model_ops import refuse_effects
from schemas.digit import SIDE
from schemas.errors import first_line
from schemas.model.bundle import INPUT, OUTPUT, SIGNATURE

_GRAPH: Final = "saved_model.pb"
_FILES: Final = (_GRAPH, "fingerprint.pb")
_FOLDERS: Final = ("assets/", "variables/")


class SavedModelEngine:
    """A SavedModel on the GPU that TensorFlow finds, or on the CPU."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """Looks at a SavedModel's ops, then loads it.

        Args:
            files: the content of its files by their path in its folder. They are the ones that were
                checked: TensorFlow would take whatever lies in the folder by then.

        Raises:
            EngineError: when TensorFlow is missing, or the model cannot be loaded, has another signature
                than the bundle's or would do more than compute.
        """
        tf = _tensorflow()
        _refuse_strange(files)
        refuse_effects(files[_GRAPH])
        self._tf = tf
        try:
            with tempfile.TemporaryDirectory(prefix="saved-model-") as folder, silent_stderr():
                _write(pathlib.Path(folder), files)
                self._model = tf.saved_model.load(folder)
                self._signature = self._model.signatures[SIGNATURE]
                self._check_input()
                check_output(self._run(np.zeros((BATCH, SIDE, SIDE), np.uint8)))
        except (tf.errors.OpError, OSError, KeyError, TypeError, ValueError) as error:
            raise EngineError(f"TensorFlow cannot run the SavedModel: {first_line(error)}") from error

    def probabilities(self, digits: np.ndarray) -> np.ndarray:
        """Returns float32[N, 10] for uint8[N, 28, 28] canonical digits, any N.

        Raises:
            EngineError: when the model cannot score them.
        """
        try:
            return in_batches(self._run, digits)
        except (self._tf.errors.OpError, ValueError) as error:
            raise EngineError(f"TensorFlow: {first_line(error)}") from error

    def _run(self, batch: np.ndarray) -> np.ndarray:
        return self._signature(**{INPUT: self._tf.constant(batch)})[OUTPUT].numpy()

    def _check_input(self) -> None:
        names = self._signature.structured_input_signature[1]
        spec = names.get(INPUT)
        whole = self._tf.TensorSpec([BATCH, SIDE, SIDE], self._tf.uint8)
        if set(names) != {INPUT} or not spec.is_compatible_with(whole):
            raise EngineError(f"{SIGNATURE} takes {INPUT}, uint8[N, {SIDE}, {SIDE}]; got {names}")


def _tensorflow() -> Any:
    try:
        with silent_stderr():
            import tensorflow as tf

            # Lets other processes have what is left of a GPU: TensorFlow takes all of its memory otherwise.
            for gpu in tf.config.list_physical_devices("GPU"):
                _grow(tf, gpu)
    except ImportError as error:
        raise EngineError(
            "the saved_model engine needs TensorFlow on every worker; "
            f"pip install 'tensorflow>=2.21,<2.22' there, or use --engine litert: {error}"
        ) from error
    return tf


def _grow(tf: Any, gpu: Any) -> None:
    try:
        tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        # The process has used TensorFlow before; then it has decided about this already.
        return


def _refuse_strange(files: Mapping[str, bytes]) -> None:
    """Refuses what TensorFlow might read in place of the graph that was looked at."""
    for name in files:
        if name not in _FILES and not name.startswith(_FOLDERS):
            raise EngineError(f"a SavedModel holds {', '.join(_FILES + _FOLDERS)}; got {name!r}")
    if _GRAPH not in files:
        raise EngineError(f"a SavedModel holds {_GRAPH}; got {sorted(files)}")


def _write(folder: pathlib.Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        if ".." in path.parts:
            raise EngineError(f"a file of a SavedModel lies in its folder; got {name!r}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
