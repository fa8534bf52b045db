"""Calibration of a model's confidence: metrics, temperature scaling, coverage by threshold.

Temperature scaling after Guo et al., "On Calibration of Modern Neural Networks", 2017
(https://arxiv.org/abs/1706.04599): the logits are divided by one number, fitted by negative
log-likelihood on held-out images. It changes the confidence, not the predicted digits.
"""

from typing import Final

import numpy as np
from scipy.optimize import minimize_scalar

from digitmill.confidence.scaling import MIN_PROBABILITY, apply_temperature
from schemas.digit import CLASSES
from schemas.model.trust import Calibration, Coverage

_BOUNDS: Final = (0.05, 20.0)
"""Range of temperatures searched."""

ECE_BINS: Final = 15
"""Bins of equal width, as in the paper."""


def measure(probabilities: np.ndarray, labels: np.ndarray) -> Calibration:
    """Return calibration metrics of probabilities, float[N, 10], on labels, int[N]."""
    given = np.clip(probabilities[np.arange(len(labels)), labels].astype(np.float64), MIN_PROBABILITY, 1)
    truth = np.eye(CLASSES)[labels]
    return Calibration(
        log_loss=float(-np.log(given).mean()),
        ece=expected_calibration_error(probabilities, labels),
        brier=float(((probabilities - truth) ** 2).sum(axis=1).mean()),
    )


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean gap between confidence and accuracy over confidence bins, weighted by images."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    surplus = np.bincount(bin_of(confidence, ECE_BINS), weights=confidence - right, minlength=ECE_BINS)
    return float(np.abs(surplus).sum() / len(labels))


def bin_of(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Return the bin of each confidence, int64[N]; bins are open below and closed above, as in the paper."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature that minimizes log loss; 1 unless both log loss and calibration error improve.

    Args:
        probabilities: float[N, 10], on images that the model was not trained on.
        labels: int[N].
    """

    def loss(log_temperature: float) -> float:
        return measure(apply_temperature(probabilities, float(np.exp(log_temperature))), labels).log_loss

    found = minimize_scalar(loss, bounds=np.log(_BOUNDS), method="bounded", options={"xatol": 1e-4})
    temperature = float(np.exp(found.x))
    before = measure(apply_temperature(probabilities, 1.0), labels)
    after = measure(apply_temperature(probabilities, temperature), labels)
    helps = after.log_loss < before.log_loss and after.ece < before.ece
    return temperature if helps else 1.0


def coverage_at(probabilities: np.ndarray, labels: np.ndarray, threshold: float) -> Coverage:
    """Return the coverage and accuracy of an accept threshold."""
    accepted = probabilities.max(axis=1) >= threshold
    right = accepted & (probabilities.argmax(axis=1) == labels)
    return Coverage(float(threshold), int(accepted.sum()), int(right.sum()), len(labels))
