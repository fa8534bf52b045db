"""Five convolutions of 32 to 128 channels, AdamW, augmented: 290,000 parameters.

Source: the network of small-cnn, wider, with more dropout and augmentation and with smoothed labels.
    The settings are ours, as first tried, no choice made on test images.
Command: digitmill train --recipe strong-cnn --data idx:mnist --output run
Time: 410 to 530 s of training on two CPU cores in bfloat16 that other work shared.
Accuracy: 99.72 % ± 0.02 (mean and standard deviation of seeds 1, 2, 3) on the test set of 10,000, which
    was evaluated once per run, at the end: 99.74, 99.70, 99.71; the middle one's 95 % interval is 99.58 to
    99.80. The average of the three (--member): 99.74, interval 99.62 to 99.82; with seeds 4 and 5
    (99.70, 99.69) as well, of five: 99.75, interval 99.63 to 99.83.
    On scans, photographs and odd files made of the same digits they lose 0.08, -0.01 and 0.06 points, on
    forms with lines 0.23, 0.15 and 0.14.
"""

import dataclasses

import keras

from trainer.recipes import small_cnn
from trainer.recipes.parts.augmentation import Augmentation
from trainer.recipes.parts.layers import pyramid
from trainer.recipes.parts.search_space import Real


def model() -> keras.Model:
    """Build the network: 290,474 parameters, 832 of them moving averages."""
    return pyramid(32, 64, 128, dropout=0.3)


RECIPE = dataclasses.replace(
    small_cnn.RECIPE,
    model=model,
    epochs=20,
    ema=0.999,
    label_smoothing=0.05,
    augmentation=Augmentation(rotation=15, shift=3, zoom=0.12, shear=0.15),
    search={**small_cnn.RECIPE.search, "learning_rate": Real(1e-3, 1e-2, log=True)},
)
