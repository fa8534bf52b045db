"""Three dense layers with batch normalisation, LeakyReLU and dropout; Adam.

Command: digitmill train --recipe dense-512-256-128 --data tfds:mnist --output run
"""

import keras

from trainer.recipe import Recipe


def model() -> keras.Model:
    """Builds the network: 571,018 parameters, 1,792 of them moving averages."""
    return keras.Sequential(
        [
            keras.Input((28, 28), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(512),
            keras.layers.BatchNormalization(),
            keras.layers.LeakyReLU(),
            keras.layers.Dense(256),
            keras.layers.BatchNormalization(),
            keras.layers.LeakyReLU(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(128),
            keras.layers.BatchNormalization(),
            keras.layers.LeakyReLU(),
            keras.layers.Dropout(0.1),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


RECIPE = Recipe(
    model=model,
    optimizer=lambda: keras.optimizers.Adam(learning_rate=1e-3),
    loss=keras.losses.CategoricalCrossentropy,
    one_hot=True,
    epochs=12,
    batch=128,
    validation_fraction=0.15,
)
