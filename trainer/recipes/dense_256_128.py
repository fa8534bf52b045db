"""Two dense layers of 256 and 128, Adam, one-hot labels.

The source holds out no validation images and names no accuracy; the hold-out of 5,000 in 60,000 is ours.

Command: digitmill train --recipe dense-256-128 --data tfds:mnist --output run
"""

import keras

from trainer.recipe import Recipe


def model() -> keras.Model:
    """Builds the network: 235,146 parameters."""
    return keras.Sequential(
        [
            keras.Input((28, 28), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


RECIPE = Recipe(
    model=model,
    optimizer=lambda: keras.optimizers.Adam(learning_rate=1e-3),
    loss=keras.losses.CategoricalCrossentropy,
    one_hot=True,
    epochs=10,
    batch=32,
)
