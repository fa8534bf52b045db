"""Class weights: rare digits count as much as frequent ones."""

import dataclasses

import numpy as np

from schemas.digit import CLASSES
from trainer.data.splits import Digits


def balance(digits: Digits) -> Digits:
    """Returns the digits with training weights that give every class the same total.

    A class's weight is inversely proportional to its number of images over all workers. It multiplies the
    weights of a mixture.
    """
    factors = balanced_weights(digits.train_counts())[digits.train.labels]
    given = digits.train.weights
    weights = factors if given is None else factors * given
    train = dataclasses.replace(digits.train, weights=weights.astype(np.float32))
    return dataclasses.replace(digits, train=train)


def balanced_weights(counts: tuple[int, ...]) -> np.ndarray:
    """Returns float64[10]: images / (non-empty classes * images of the class); 0 for an empty class."""
    images = np.array(counts, np.float64)
    present = images > 0
    return np.divide(images.sum(), present.sum() * images, out=np.zeros(CLASSES), where=present)


def warn_about_empty_classes(digits: Digits) -> None:
    """Prints the digits that have no training image, if there are any."""
    empty = [str(label) for label, count in enumerate(digits.train_counts()) if not count]
    if empty:
        print(
            f"warning: {digits.name} has no training image of {', '.join(empty)}, which the model will "
            "never predict; add images, or another source that has them",
            flush=True,
        )
