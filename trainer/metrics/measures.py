"""A model's predictions on a split, with accuracy, loss, confusion matrix and histograms."""

import dataclasses
import functools

import numpy as np

from digitmill.confidence.scaling import apply_temperature
from digitmill.ink_statistics import InkCounter
from schemas.digit import CLASSES, NOT_A_DIGIT
from schemas.model.accuracy import Accuracy
from schemas.model.ink_counts import InkCounts
from schemas.model.model_card import HISTOGRAM_BINS
from schemas.model.trust import NotDigits
from trainer.data.splits import Split

_GRAY_LEVELS = 256
_CHUNK = 4_096
_MIN_PROBABILITY = 1e-7
"""Where Keras's cross-entropy clips probabilities."""


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's predictions on the digits of a split, and those on its pictures that are no digit.

    Attributes:
        labels: uint8[N], the true digits.
        probabilities: float32[N, 10], on the digits.
        not_digits: float32[M, 10], on the pictures that are no digit, which no metric here counts.
        images: int64[N], the index of each digit in the split.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    not_digits: np.ndarray
    images: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, probabilities: np.ndarray) -> "Evaluation":
        """Return the predictions on a split.

        Args:
            labels: uint8[N], 0 to 9 or `NOT_A_DIGIT`.
            probabilities: float32[N, 10].
        """
        known = labels != NOT_A_DIGIT
        return cls(labels[known], probabilities[known], probabilities[~known], np.flatnonzero(known))

    def take(self, which: np.ndarray) -> "Evaluation":
        """Return the predictions on the images of the split that a mask selects, bool[N + M]."""
        known = which[self.images]
        others = which[self.order[len(self.labels) :]]
        return Evaluation(
            self.labels[known], self.probabilities[known], self.not_digits[others], self.images[known]
        )

    @property
    def order(self) -> np.ndarray:
        """The indices in the split of all images: of the digits, then of the others, int64[N + M]."""
        return np.concatenate(
            [self.images, np.delete(np.arange(len(self.labels) + len(self.not_digits)), self.images)]
        )

    def not_digits_at(self, threshold: float) -> NotDigits:
        """Return how many pictures that are no digit a threshold accepts."""
        return NotDigits(len(self.not_digits), int((self.not_digits.max(axis=1) >= threshold).sum()))

    def at_temperature(self, temperature: float) -> "Evaluation":
        """Return the predictions with a temperature applied; unchanged at 1."""
        if temperature == 1:
            return self
        scaled, others = (
            apply_temperature(found, temperature).astype(np.float32)
            for found in (self.probabilities, self.not_digits)
        )
        return Evaluation(self.labels, scaled, others, self.images)

    @functools.cached_property
    def predicted(self) -> np.ndarray:
        """The most probable digits, int64[N]."""
        return self.probabilities.argmax(axis=1)

    @property
    def accuracy(self) -> Accuracy:
        """Share of digits predicted right."""
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


def count_ink(split: Split) -> InkCounts:
    """Return statistics of the ink of a split's digits."""
    counter = InkCounter()
    for start in range(0, len(split), _CHUNK):
        rows = slice(start, start + _CHUNK)
        counter.add(split.images[rows][split.labels[rows] != NOT_A_DIGIT])
    return counter.counts()


def pixel_histogram(split: Split) -> tuple[float, ...]:
    """Return the share of the digits' pixels per gray level bin, `HISTOGRAM_BINS` over [0, 255]."""
    levels = np.zeros(_GRAY_LEVELS, np.int64)
    # In chunks: np.bincount needs eight bytes per pixel.
    for start in range(0, len(split), _CHUNK):
        rows = slice(start, start + _CHUNK)
        digits = split.images[rows][split.labels[rows] != NOT_A_DIGIT]
        levels += np.bincount(digits.ravel(), minlength=_GRAY_LEVELS)
    counts, _ = np.histogram(
        np.arange(_GRAY_LEVELS), bins=HISTOGRAM_BINS, range=(0, _GRAY_LEVELS - 1), weights=levels
    )
    return tuple((counts / levels.sum()).tolist())
