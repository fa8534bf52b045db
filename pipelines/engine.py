"""Runs a bundle's model: LiteRT on CPU workers, which then need no TensorFlow."""

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Final

import numpy as np

from schemas.bundle import INPUT, OUTPUT, SIGNATURE
from schemas.digit import CLASSES, SIDE

BATCH: Final = 256
"""The one batch shape that the engine is given; smaller batches are padded."""


_STDERR: Final = threading.Lock()


class EngineError(Exception):
    """A model cannot be run: it is no LiteRT model, or has another signature."""


class LiteRtEngine:
    """One LiteRT interpreter, which threads take turns to use."""

    def __init__(self, model: bytes) -> None:
        """Loads a model.

        Args:
            model: the bytes of a LiteRT model with the bundle's signature.

        Raises:
            EngineError: when it cannot be loaded or its signature is not the bundle's.
        """
        from ai_edge_litert.interpreter import Interpreter

        self._lock = threading.Lock()
        self._padded = np.zeros((BATCH, SIDE, SIDE), np.uint8)
        try:
            with _silent_stderr():
                # One thread: images are many, so cores are kept busy by work items, not within a batch.
                interpreter = Interpreter(model_content=model, num_threads=1)
                signature = interpreter.get_signature_list().get(SIGNATURE)
                if signature != {"inputs": [INPUT], "outputs": [OUTPUT]}:
                    raise EngineError(f"{SIGNATURE} takes {INPUT} and gives {OUTPUT}; got {signature}")
                self._runner = interpreter.get_signature_runner(SIGNATURE)
                _check_input(self._runner.get_input_details()[INPUT])
                outputs = self._runner(**{INPUT: self._padded})[OUTPUT]
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"LiteRT cannot run the model: {error}") from error
        if outputs.shape != (BATCH, CLASSES) or outputs.dtype != np.float32:
            raise EngineError(f"{OUTPUT} is float32[{BATCH}, {CLASSES}]; got {outputs.dtype}{outputs.shape}")

    def probabilities(self, digits: np.ndarray) -> np.ndarray:
        """Returns float32[N, 10] for uint8[N, 28, 28] canonical digits, any N."""
        scored = np.empty((len(digits), CLASSES), np.float32)
        for start in range(0, len(digits), BATCH):
            batch = digits[start : start + BATCH]
            with self._lock:
                self._padded[: len(batch)] = batch
                self._padded[len(batch) :] = 0
                outputs = self._runner(**{INPUT: self._padded})[OUTPUT]
            scored[start : start + len(batch)] = outputs[: len(batch)]
        return scored


def _check_input(details: dict) -> None:
    # A signature runner resizes the model's input to whatever it is given, without a word.
    shape = details["shape_signature"].tolist()
    if shape[1:] != [SIDE, SIDE] or details["dtype"] is not np.uint8:
        raise EngineError(f"{INPUT} is uint8[N, {SIDE}, {SIDE}]; got {details['dtype'].__name__}{shape}")


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keeps what native code prints at start-up off the terminal; its errors come as exceptions."""
    # One at a time: a second engine would save the first one's nowhere as the terminal.
    with _STDERR:
        saved = os.dup(2)
        try:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
