"""Runs a bundle's LiteRT model by OpenVINO, which is imported only when an engine is made."""

import sys
import tempfile
import threading
from typing import Any, Final

import numpy as np

from digitmill.engines.engine import BATCH, EngineError, check_output, predict_in_batches
from digitmill.engines.signal_stack import kept_signal_stack
from digitmill.extras import install_line
from digitmill.native_log import quiet_stderr
from schemas.digit import SIDE
from schemas.errors import first_line
from schemas.model.bundle import INPUT

_SETTINGS: Final = {
    # As for LiteRT: cores are kept busy by work items, not within a batch.
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    # Pinned, the worker processes of a machine would share a core.
    "ENABLE_CPU_PINNING": False,
    # On CPUs with AMX the default is bfloat16, which moves probabilities by more than GOLDEN_TOLERANCE.
    "INFERENCE_PRECISION_HINT": "f32",
}


class OpenVinoEngine:
    """One compiled model on the CPU; threads take turns.

    Raises:
        EngineError: when OpenVINO is missing, cannot read the model, or its inputs or outputs do not fit.
    """

    def __init__(self, model: bytes) -> None:
        self._lock = threading.Lock()
        try:
            with quiet_stderr(shown_on_error=False), kept_signal_stack():
                # Otherwise OpenVINO reports its use to Google Analytics, by a process that it forks.
                sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
                import openvino

                # Compiling sets a signal stack too small for Python's handlers: SIGTERM would be SIGSEGV.
                self._request = _compile(openvino, model)
                check_output(self._run(np.zeros((BATCH, SIDE, SIDE), np.uint8)))
        except ImportError as error:
            raise EngineError(
                f"the openvino engine needs OpenVINO on every worker: {error}. "
                f"Run {install_line('openvino')} there, or use --engine litert."
            ) from error
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"OpenVINO cannot run the model: {first_line(error)}") from error

    def probabilities(self, digits: np.ndarray) -> np.ndarray:
        """Return float32[N, 10] for uint8[N, 28, 28] canonical digits, any N."""
        try:
            return predict_in_batches(self._run, digits)
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"OpenVINO: {first_line(error)}") from error

    def _run(self, batch: np.ndarray) -> np.ndarray:
        with self._lock:
            return self._request.infer([batch], share_inputs=True, share_outputs=False)[0]


def _compile(openvino: Any, model: bytes) -> Any:
    """Return a request to the model, compiled for one batch shape."""
    core = openvino.Core()
    # Of models of this kind OpenVINO reads files only, and it maps them into memory.
    with tempfile.NamedTemporaryFile(prefix="model-", suffix=".tflite") as file:
        file.write(model)
        file.flush()
        read = core.read_model(file.name)
        _check_input(read)
        read.reshape([BATCH, SIDE, SIDE])
        return core.compile_model(read, "CPU", _SETTINGS).create_infer_request()


def _check_input(model: Any) -> None:
    (found,) = model.inputs if len(model.inputs) == 1 else (None,)
    if (
        found is None
        or len(model.outputs) != 1
        or found.element_type.get_type_name() != "u8"
        or list(found.partial_shape)[1:] != [SIDE, SIDE]
    ):
        raise EngineError(f"the model takes {model.inputs}, not {INPUT}, uint8[N, {SIDE}, {SIDE}]")
