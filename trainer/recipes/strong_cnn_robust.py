"""The network of strong-cnn, trained on blurred, faint and noisy digits as well.

Source: strong-cnn's, with the photographic part of the augmentation.
Command: digitmill train --recipe strong-cnn-robust --data idx:mnist --output run
"""

import dataclasses

import keras

from trainer.augmentation import Augmentation
from trainer.recipes import strong_cnn


def model() -> keras.Model:
    """Builds the network of strong-cnn: 290,474 parameters, 832 of them moving averages."""
    return strong_cnn.model()


RECIPE = dataclasses.replace(
    strong_cnn.RECIPE,
    model=model,
    augmentation=Augmentation(rotation=15, shift=3, zoom=0.12, shear=0.15, contrast=0.3, blur=1.0, noise=20),
)
