"""What a model answered on a split, and how right that is. No TensorFlow."""

import dataclasses
import functools

import numpy as np

from schemas.digit import CLASSES
from schemas.model.accuracy import Accuracy
from trainer.metrics.calibration import with_temperature

_LEAST_PROBABILITY = 1e-7
"""What Keras's cross-entropy takes the logarithm of at least."""


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's answers on a split.

    Attributes:
        labels: uint8[N], the true digits.
        probabilities: float32[N, 10].
    """

    labels: np.ndarray
    probabilities: np.ndarray

    def at_temperature(self, temperature: float) -> "Evaluation":
        """Returns the answers with a temperature; those as they are at 1."""
        if temperature == 1:
            return self
        scaled = with_temperature(self.probabilities, temperature).astype(np.float32)
        return Evaluation(self.labels, scaled)

    @functools.cached_property
    def predicted(self) -> np.ndarray:
        """int64[N], the most probable digits."""
        return self.probabilities.argmax(axis=1)

    @property
    def accuracy(self) -> Accuracy:
        """Share of images answered right."""
        return Accuracy(int((self.predicted == self.labels).sum()), len(self.labels))

    @property
    def loss(self) -> float:
        """Mean cross-entropy, nats; NaN when any probability is."""
        given = self.probabilities[np.arange(len(self.labels)), self.labels].astype(np.float64)
        return float(-np.log(np.clip(given, _LEAST_PROBABILITY, 1)).mean())

    @property
    def confidence(self) -> np.ndarray:
        """float32[N], the probability of the predicted digit."""
        return self.probabilities.max(axis=1)

    @property
    def confusion(self) -> np.ndarray:
        """int64[10, 10], images by true digit (row) and predicted digit (column)."""
        pairs = self.labels.astype(np.int64) * CLASSES + self.predicted
        return np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
