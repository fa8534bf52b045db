"""Calibration of a model's confidence: metrics, temperature scaling, coverage by threshold.

Temperature scaling after Guo et al., "On Calibration of Modern Neural Networks", 2017
(https://arxiv.org/abs/1706.04599): the logits are divided by one number, fitted by negative
log-likelihood on held-out images. It changes the confidence, not the predicted digits.
"""

from typing import Final

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from schemas.digit import CLASSES
from schemas.model.trust import Calibration, Coverage

_MIN_PROBABILITY: Final = 1e-12
"""Probabilities are clipped here before their logarithm is taken."""

_BOUNDS: Final = (0.05, 20.0)
"""Range of temperatures searched."""

ECE_BINS: Final = 15
"""Bins of equal width, as in the paper."""


def measure(probabilities: np.ndarray, labels: np.ndarray) -> Calibration:
    """Return calibration metrics of probabilities, float[N, 10], on labels, int[N]."""
    given = np.clip(probabilities[np.arange(len(labels)), labels].astype(np.float64), _MIN_PROBABILITY, 1)
    truth = np.eye(CLASSES)[labels]
    return Calibration(
        log_loss=float(-np.log(given).mean()),
        ece=expected_calibration_error(probabilities, labels),
        brier=float(((probabilities - truth) ** 2).sum(axis=1).mean()),
    )


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean gap between confidence and accuracy over bins of confidence, weighted by images."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    surplus = np.bincount(bin_of(confidence, ECE_BINS), weights=confidence - right, minlength=ECE_BINS)
    return float(np.abs(surplus).sum() / len(labels))


def bin_of(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Return the bin of each confidence, int64[N]; bins are open below and closed above, as in the paper."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return the softmax of the logits divided by a temperature, float64[N, 10]."""
    # The logarithms differ from the logits by a constant per row, which the softmax ignores.
    logits = np.log(np.clip(probabilities.astype(np.float64), _MIN_PROBABILITY, 1)) / temperature
    return softmax(logits, axis=1)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature that minimises the log loss; 1 unless that and the calibration error improve.

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
    """Return coverage and accuracy at a threshold."""
    accepted = probabilities.max(axis=1) >= threshold
    right = accepted & (probabilities.argmax(axis=1) == labels)
    return Coverage(float(threshold), int(accepted.sum()), int(right.sum()), len(labels))


def find_threshold(probabilities: np.ndarray, labels: np.ndarray, target: float) -> Coverage:
    """Return the lowest threshold at which at least `target` of the accepted images are right.

    Args:
        probabilities: float[N, 10], calibrated.
        labels: int[N].
        target: accuracy of the accepted images, in [0, 1]. If even the most confident ones miss it, the
            threshold is 1.
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = np.cumsum(probabilities.argmax(axis=1)[order] == labels[order])
    accepted = np.arange(1, len(labels) + 1)
    ranked = confidence[order]
    # Equal confidences are accepted together: only cut where the next one is lower.
    cut = np.append(ranked[1:] < ranked[:-1], True)
    reached = np.flatnonzero(cut & (right >= target * accepted))
    if not len(reached):
        return coverage_at(probabilities, labels, 1.0)
    last = int(reached[-1])
    below = ranked[last + 1] if last + 1 < len(ranked) else 0.0
    # Half-way to the next confidence, so that rounding in another engine moves no image across.
    threshold = float(ranked[last] + below) / 2 if last + 1 < len(ranked) else 0.0
    return Coverage(threshold, last + 1, int(right[last]), len(labels))
