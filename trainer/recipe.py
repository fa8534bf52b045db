"""What a recipe consists of."""

import dataclasses
from collections.abc import Callable

import keras

HOLD_OUT = 5_000 / 60_000
"""Share of the training images held out for validation: 5,000 of MNIST's 60,000."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to train one network. The functions are called within the strategy's scope.

    Attributes:
        model: builds the network: uint8[N, 28, 28] canonical digits in, float32[N, 10] probabilities
            out. Pixel scaling is part of it, so that every export takes canonical digits.
        optimizer: builds the optimizer, and with it the learning rate's course over a training of
            so many steps.
        loss: the loss class, or a partial of it; called with `reduction="sum"`.
        one_hot: whether the loss takes one-hot labels, float32[N, 10], rather than class numbers.
        epochs: passes over the training images.
        batch: global batch size, images.
        validation_fraction: share of the training images to hold out where the data has no
            validation split of its own, in [0, 1).
    """

    model: Callable[[], keras.Model]
    optimizer: Callable[[int], keras.optimizers.Optimizer]
    loss: Callable[..., keras.losses.Loss]
    one_hot: bool
    epochs: int
    batch: int
    validation_fraction: float = HOLD_OUT
