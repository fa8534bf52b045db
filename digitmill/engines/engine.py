"""The interface of engines, and the engine of CPU workers: LiteRT, which does not need TensorFlow."""

import threading
from collections.abc import Callable
from typing import Final, Protocol

import numpy as np

from digitmill.confidence.scaling import apply_temperature
from digitmill.native_log import quiet_stderr
from schemas.digit import CLASSES, SIDE
from schemas.model.bundle import INPUT, OUTPUT, SIGNATURE

BATCH: Final = 256
"""The only batch size that models get; smaller batches are padded."""


class EngineError(Exception):
    """A model cannot be loaded or run."""


class Engine(Protocol):
    """A loaded model. Thread-safe."""

    def probabilities(self, digits: np.ndarray) -> np.ndarray:
        """Return float32[N, 10] for uint8[N, 28, 28] canonical digits, any N.

        Raises:
            EngineError: when the model cannot score them.
        """


class LiteRtEngine:
    """One LiteRT interpreter; threads take turns. Raises EngineError without the bundle's signature."""

    def __init__(self, model: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._lock = threading.Lock()
        try:
            # What native code prints at its start; its errors come as exceptions.
            with quiet_stderr(shown_on_error=False):
                # One thread: images are many, so cores are kept busy by work items, not within a batch.
                interpreter = Interpreter(model_content=model, num_threads=1)
                signature = interpreter.get_signature_list().get(SIGNATURE)
                if signature != {"inputs": [INPUT], "outputs": [OUTPUT]}:
                    raise EngineError(f"{SIGNATURE} does not map {INPUT} to {OUTPUT}: {signature}")
                self._runner = interpreter.get_signature_runner(SIGNATURE)
                _check_input(self._runner.get_input_details()[INPUT])
                check_output(self._run(np.zeros((BATCH, SIDE, SIDE), np.uint8)))
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"LiteRT cannot run the model: {error}") from error

    def probabilities(self, digits: np.ndarray) -> np.ndarray:
        """Return float32[N, 10] for uint8[N, 28, 28] canonical digits, any N."""
        try:
            return predict_in_batches(self._run, digits)
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"LiteRT: {error}") from error

    def _run(self, batch: np.ndarray) -> np.ndarray:
        with self._lock:
            return self._runner(**{INPUT: batch})[OUTPUT]


class TemperedEngine:
    """An engine that divides the logits of another engine by a temperature."""

    def __init__(self, engine: Engine, temperature: float) -> None:
        self._engine = engine
        self._temperature = temperature

    def probabilities(self, digits: np.ndarray) -> np.ndarray:
        """Return float32[N, 10] for uint8[N, 28, 28] canonical digits, any N."""
        found = self._engine.probabilities(digits)
        return apply_temperature(found, self._temperature).astype(np.float32)


def predict_in_batches(run: Callable[[np.ndarray], np.ndarray], digits: np.ndarray) -> np.ndarray:
    """Run digits in padded batches and return float32[N, 10].

    Args:
        run: returns float32[BATCH, 10] for uint8[BATCH, 28, 28].
        digits: uint8[N, 28, 28], any N.
    """
    scored = np.empty((len(digits), CLASSES), np.float32)
    for start in range(0, len(digits), BATCH):
        batch = digits[start : start + BATCH]
        if len(batch) < BATCH:
            batch = np.concatenate([batch, np.zeros((BATCH - len(batch), SIDE, SIDE), np.uint8)])
        scored[start : start + BATCH] = run(batch)[: len(scored) - start]
    return scored


def check_output(outputs: np.ndarray) -> None:
    """Raise EngineError unless a batch's output has the right shape and type."""
    if outputs.shape != (BATCH, CLASSES) or outputs.dtype != np.float32:
        raise EngineError(f"{OUTPUT} is {outputs.dtype}{outputs.shape}, not float32[{BATCH}, {CLASSES}]")


def _check_input(details: dict) -> None:
    # A signature runner silently resizes the model's input to whatever it is given.
    shape = details["shape_signature"].tolist()
    if shape[1:] != [SIDE, SIDE] or details["dtype"] is not np.uint8:
        raise EngineError(f"{INPUT} is {details['dtype'].__name__}{shape}, not uint8[N, {SIDE}, {SIDE}]")
