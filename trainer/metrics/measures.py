"""A model's predictions on a split, with accuracy, loss, confusion matrix and histograms."""

import dataclasses
import functools

import numpy as np

from schemas.digit import CLASSES
from schemas.model.accuracy import Accuracy
from schemas.model.model_card import HISTOGRAM_BINS
from trainer.metrics.calibration import apply_temperature

_GREY_LEVELS = 256
_CHUNK = 4_096
_MIN_PROBABILITY = 1e-7
"""Where Keras's cross-entropy clips probabilities."""


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's predictions on a split.

    Attributes:
        labels: uint8[N], the true digits.
        probabilities: float32[N, 10].
    """

    labels: np.ndarray
    probabilities: np.ndarray

    def at_temperature(self, temperature: float) -> "Evaluation":
        """Return the predictions with a temperature applied; unchanged at 1."""
        if temperature == 1:
            return self
        scaled = apply_temperature(self.probabilities, temperature).astype(np.float32)
        return Evaluation(self.labels, scaled)

    @functools.cached_property
    def predicted(self) -> np.ndarray:
        """The most probable digits, int64[N]."""
        return self.probabilities.argmax(axis=1)

    @property
    def accuracy(self) -> Accuracy:
        """Share of images predicted right."""
        return Accuracy(int((self.predicted == self.labels).sum()), len(self.labels))

    @property
    def loss(self) -> float:
        """Mean cross-entropy, nats; NaN if any probability is."""
        given = self.probabilities[np.arange(len(self.labels)), self.labels].astype(np.float64)
        return float(-np.log(np.clip(given, _MIN_PROBABILITY, 1)).mean())

    @property
    def confidence(self) -> np.ndarray:
        """The probabilities of the predicted digits, float32[N]."""
        return self.probabilities.max(axis=1)

    @property
    def confusion(self) -> np.ndarray:
        """Images by true digit (row) and predicted digit (column), int64[10, 10]."""
        pairs = self.labels.astype(np.int64) * CLASSES + self.predicted
        return np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def confidence_histogram(evaluation: Evaluation) -> tuple[float, ...]:
    """Return the share of images per confidence bin, `HISTOGRAM_BINS` of equal width over [0, 1]."""
    counts, _ = np.histogram(evaluation.confidence, bins=HISTOGRAM_BINS, range=(0, 1))
    return tuple((counts / len(evaluation.labels)).tolist())


def pixel_histogram(images: np.ndarray) -> tuple[float, ...]:
    """Return the share of pixels per grey level bin, `HISTOGRAM_BINS` of equal width over [0, 255].

    Args:
        images: uint8[N, 28, 28], N at least 1.
    """
    levels = np.zeros(_GREY_LEVELS, np.int64)
    # In chunks: np.bincount needs eight bytes per pixel.
    for start in range(0, len(images), _CHUNK):
        levels += np.bincount(images[start : start + _CHUNK].ravel(), minlength=_GREY_LEVELS)
    counts, _ = np.histogram(
        np.arange(_GREY_LEVELS), bins=HISTOGRAM_BINS, range=(0, _GREY_LEVELS - 1), weights=levels
    )
    return tuple((counts / images.size).tolist())
