"""Two dense layers of 300 and 100, SGD: the book's first image classifier.

Source: A. Géron, "Hands-On Machine Learning with Scikit-Learn, Keras, and TensorFlow", chapter 10.

Command: digitmill train --recipe dense-300-100 --data tfds:mnist --output run
"""

import keras

from trainer.recipe import Recipe


def model() -> keras.Model:
    """Builds the network: 266,610 parameters."""
    return keras.Sequential(
        [
            keras.Input((28, 28), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(300, activation="relu"),
            keras.layers.Dense(100, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


RECIPE = Recipe(
    model=model,
    optimizer=lambda: keras.optimizers.SGD(learning_rate=0.01),
    loss=keras.losses.SparseCategoricalCrossentropy,
    one_hot=False,
    epochs=30,
    batch=32,
)
