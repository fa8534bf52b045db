"""How far a model's confidence can be believed, and from where on it may be acted upon.

Temperature scaling after Guo et al., "On Calibration of Modern Neural Networks", 2017
(https://arxiv.org/abs/1706.04599): one number divides the logits, fitted by negative log-likelihood on
images that were held out. It changes no digit, only how sure the model says it is.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.optimize import minimize_scalar

from schemas.digit import CLASSES
from schemas.model.trust import Calibration, Coverage

_LEAST: Final = 1e-12
"""Probabilities are taken for at least this before their logarithm is."""

_BOUNDS: Final = (0.05, 20.0)
"""Temperatures that are looked at; one at the edge means that the images do not say."""

ECE_BINS: Final = 15
"""Bins of equal width, as in the paper."""


def measure(probabilities: np.ndarray, labels: np.ndarray) -> Calibration:
    """Returns how well float[N, 10] probabilities are calibrated to integer labels [N]."""
    given = np.clip(probabilities[np.arange(len(labels)), labels].astype(np.float64), _LEAST, 1)
    truth = np.eye(CLASSES)[labels]
    return Calibration(
        log_loss=float(-np.log(given).mean()),
        ece=expected_calibration_error(probabilities, labels),
        brier=float(((probabilities - truth) ** 2).sum(axis=1).mean()),
    )


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, *, bins: int = ECE_BINS
) -> float:
    """Returns the mean distance of confidence and accuracy over bins of confidence, by their images."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    surplus = np.bincount(bin_of(confidence, bins), weights=confidence - right, minlength=bins)
    return float(np.abs(surplus).sum() / len(labels))


def bin_of(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Returns the bin of each confidence, int64[N]; bins are open below and closed above, as in the paper."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def with_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Returns float64[N, 10], the softmax of the logits divided by a temperature."""
    # The logarithms differ from the logits by a constant a row, which the softmax does not see.
    logits = np.log(np.clip(probabilities.astype(np.float64), _LEAST, 1)) / temperature
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the temperature of least negative log-likelihood; 1.0 where another one does not help.

    Args:
        probabilities: float[N, 10], what the model says of images that it was not trained on.
        labels: integers [N].
    """

    def loss(log_temperature: float) -> float:
        return measure(with_temperature(probabilities, float(np.exp(log_temperature))), labels).log_loss

    found = minimize_scalar(loss, bounds=np.log(_BOUNDS), method="bounded", options={"xatol": 1e-4})
    temperature = float(np.exp(found.x))
    before = measure(with_temperature(probabilities, 1.0), labels)
    after = measure(with_temperature(probabilities, temperature), labels)
    helps = after.log_loss < before.log_loss and after.ece < before.ece
    return temperature if helps else 1.0


def coverage_at(probabilities: np.ndarray, labels: np.ndarray, thresholds: Sequence[float]) -> list[Coverage]:
    """Returns what each threshold accepts."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    return [
        Coverage(float(threshold), int(accepted.sum()), int((accepted & right).sum()), len(labels))
        for threshold in thresholds
        for accepted in [confidence >= threshold]
    ]


def threshold_for(probabilities: np.ndarray, labels: np.ndarray, target: float) -> Coverage:
    """Returns the least threshold from which on at least `target` of the accepted are right.

    Args:
        probabilities: float[N, 10], calibrated.
        labels: integers [N].
        target: accuracy of the accepted, in [0, 1]. Where not even the surest answers reach it, the
            threshold is 1, which only complete certainty passes.
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = np.cumsum(probabilities.argmax(axis=1)[order] == labels[order])
    accepted = np.arange(1, len(labels) + 1)
    ranked = confidence[order]
    # Equal confidences are accepted together: a cut is possible only where the next one is lower.
    cut = np.append(ranked[1:] < ranked[:-1], True)
    reached = np.flatnonzero(cut & (right >= target * accepted))
    if not len(reached):
        return coverage_at(probabilities, labels, [1.0])[0]
    last = int(reached[-1])
    below = ranked[last + 1] if last + 1 < len(ranked) else 0.0
    # Half-way to the next one, so that a rounding of either engine does not move an image across.
    threshold = float(ranked[last] + below) / 2 if last + 1 < len(ranked) else 0.0
    return Coverage(threshold, last + 1, int(right[last]), len(labels))
