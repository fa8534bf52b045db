"""One dense layer of 128, Adam: the smallest network that gets by.

Command: digitmill train --recipe dense-128 --data tfds:mnist --output run
"""

import keras

from trainer.recipe import Recipe


def model() -> keras.Model:
    """Builds the network: 101,770 parameters."""
    return keras.Sequential(
        [
            keras.Input((28, 28), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


RECIPE = Recipe(
    model=model,
    optimizer=lambda: keras.optimizers.Adam(learning_rate=1e-3),
    loss=keras.losses.SparseCategoricalCrossentropy,
    one_hot=False,
    epochs=5,
    batch=32,
)
