"""Applies a temperature to probabilities; uses only NumPy, because scoring workers have no SciPy."""

from typing import Final

import numpy as np

MIN_PROBABILITY: Final = 1e-12
"""Probabilities are clipped here before their logarithm is taken."""


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return the softmax of the logits divided by a temperature, float64[N, 10]."""
    # The logarithms differ from the logits by a constant per row, which the softmax ignores.
    logits = np.log(np.clip(probabilities.astype(np.float64), MIN_PROBABILITY, 1)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
