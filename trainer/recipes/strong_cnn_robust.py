"""The network of strong-cnn, trained on what cameras and scanners make of digits, too."""

import dataclasses

from trainer.augmentation import Augmentation
from trainer.recipes import strong_cnn

model = strong_cnn.model

RECIPE = dataclasses.replace(
    strong_cnn.RECIPE,
    augmentation=Augmentation(rotation=15, shift=3, zoom=0.12, shear=0.15, contrast=0.3, blur=1.0, noise=20),
)
