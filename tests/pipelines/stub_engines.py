"""Engines that a test can break or turn round."""

import numpy as np

from digitmill.engines.engine import Engine, EngineError


class FailsOn:
    """An engine that cannot score some pictures."""

    def __init__(self, engine: Engine, bad: np.ndarray) -> None:
        self._engine = engine
        self._bad = {digit.tobytes() for digit in bad}

    def probabilities(self, digits: np.ndarray) -> np.ndarray:
        if any(digit.tobytes() in self._bad for digit in digits):
            raise EngineError("no such luck")
        return self._engine.probabilities(digits)


class Contrary:
    """An engine that takes every digit for the one that follows it, as surely."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def probabilities(self, digits: np.ndarray) -> np.ndarray:
        return np.roll(self._engine.probabilities(digits), 1, axis=1)
