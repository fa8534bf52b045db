"""The network of small-cnn, taught by a teacher's answers to widely changed images."""

import dataclasses

from trainer.augmentation import Augmentation
from trainer.recipes import small_cnn

model = small_cnn.model

RECIPE = dataclasses.replace(
    small_cnn.RECIPE,
    epochs=40,
    augmentation=Augmentation(rotation=20, shift=3, zoom=0.15, shear=0.2, elastic=1.0),
    temperature=2.0,
    taught=True,
)
