"""Two convolutions with max-pooling, one dense layer, Adam.

Command: digitmill train --recipe cnn --data tfds:mnist --output run
"""

import keras

from trainer.recipe import Recipe


def model() -> keras.Model:
    """Builds the network: 184,586 parameters."""
    return keras.Sequential(
        [
            keras.Input((28, 28), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Reshape((28, 28, 1)),
            keras.layers.Conv2D(32, 5, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 5, activation="relu"),
            keras.layers.MaxPooling2D(),
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
    epochs=6,
    batch=64,
)
