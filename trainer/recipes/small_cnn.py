"""Five convolutions of 24 to 52 channels, AdamW, augmented: 61,000 parameters.

Source: pairs of 3 x 3 convolutions between poolings, as in K. Simonyan, A. Zisserman, "Very Deep
    Convolutional Networks for Large-Scale Image Recognition", arXiv:1409.1556, with batch normalization
    behind the pooling. The settings are ours, as first tried, no choice made on test images.
Command: digitmill train --recipe small-cnn --data idx:mnist --output run
Time: 200 to 230 s of training on two CPU cores in bfloat16 that other work shared.
Accuracy: 99.61 % ± 0.03 (mean and standard deviation of seeds 1, 2, 3) on the test set of 10,000, which
    was evaluated once per run, at the end: 99.58, 99.64, 99.61; the middle one's 95 % interval is 99.47 to
    99.71.
"""

import keras

from trainer.recipes.parts import schedules
from trainer.recipes.parts.augmentation import Augmentation
from trainer.recipes.parts.layers import pyramid
from trainer.recipes.parts.recipe import Recipe
from trainer.recipes.parts.search_space import Choice, Real


def model() -> keras.Model:
    """Build the network: 61,498 parameters, 384 of them moving averages."""
    return pyramid(24, 32, 52, dropout=0.1)


def optimizer(steps: int) -> keras.optimizers.Optimizer:
    """Build AdamW whose learning rate rises to 3e-3 over a fifth of the steps, then falls to 0."""
    rate = schedules.rise_and_fall(3e-3, steps, rise=0.2, start=0.0, end=0.0)
    return keras.optimizers.AdamW(rate, weight_decay=0.01, beta_2=0.99)


RECIPE = Recipe(
    model=model,
    optimizer=optimizer,
    loss=keras.losses.SparseCategoricalCrossentropy,
    one_hot=False,
    epochs=15,
    batch=128,
    ema=0.998,
    augmentation=Augmentation(rotation=12, shift=2, zoom=0.1, shear=0.12),
    precision="mixed",
    search={
        "learning_rate": Real(1e-3, 2e-2, log=True),
        "batch": Choice((64, 128, 256)),
        "schedule": Choice(("warmup-cosine", "one-cycle")),
        "ema": Choice((0.99, 0.998, 0.999)),
        "label_smoothing": Real(0.0, 0.1),
    },
)
