"""Five convolutions of 32 to 128 channels, AdamW, augmented: 290,000 parameters."""

import keras

from trainer import schedules
from trainer.augmentation import Augmentation
from trainer.layers import pyramid
from trainer.recipe import Recipe


def model() -> keras.Model:
    """Builds the network: 290,474 parameters, 832 of them moving averages."""
    return pyramid(32, 64, 128, dropout=0.3)


def optimizer(steps: int) -> keras.optimizers.Optimizer:
    """Builds AdamW whose learning rate rises to 3e-3 over a fifth of the steps, then falls to 0."""
    rate = schedules.rise_and_fall(3e-3, steps, rise=0.2, start=0.0, end=0.0)
    return keras.optimizers.AdamW(rate, weight_decay=0.01, beta_2=0.99)


RECIPE = Recipe(
    model=model,
    optimizer=optimizer,
    loss=keras.losses.SparseCategoricalCrossentropy,
    one_hot=False,
    epochs=20,
    batch=128,
    ema=0.999,
    label_smoothing=0.05,
    augmentation=Augmentation(rotation=15, shift=3, zoom=0.12, shear=0.15),
    precision="mixed",
)
