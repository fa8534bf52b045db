"""Weights that let rare digits count as much as frequent ones."""

import dataclasses
from typing import Final

import numpy as np

from schemas.digit import CLASSES
from trainer.data.splits import Digits

KINDS: Final = ("none", "balanced")
"""What `--class-weights` takes."""


def balanced(digits: Digits) -> Digits:
    """Returns the digits with training weights under which every class counts alike.

    A class's weight is inversely proportional to its number of images over all workers. Weights that
    images have already, of a mixture, are multiplied by it.
    """
    factors = class_factors(digits.train_counts())[digits.train.labels]
    given = digits.train.weights
    weights = factors if given is None else factors * given
    train = dataclasses.replace(digits.train, weights=weights.astype(np.float32))
    return dataclasses.replace(digits, train=train)


def class_factors(counts: tuple[int, ...]) -> np.ndarray:
    """Returns float64[10], images / (classes with images * images of the class); 0 for an empty class."""
    images = np.array(counts, np.float64)
    there = images > 0
    return np.divide(images.sum(), there.sum() * images, out=np.zeros(CLASSES), where=there)


def warn_of_empty_classes(digits: Digits) -> None:
    """Prints which digits have no training image, where there are such."""
    empty = [str(label) for label, count in enumerate(digits.train_counts()) if not count]
    if empty:
        print(
            f"warning: {digits.name} has no training image of {', '.join(empty)}: "
            "the model will never answer so; add images, or mix with a source that has them",
            flush=True,
        )
