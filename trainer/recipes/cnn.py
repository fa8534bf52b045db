"""Two convolutions with max-pooling, one dense layer, Adam along half a cosine.

Source: convolution and max-pooling layers, a dense layer, a few epochs, 99 % on the test set. The source
    does not give the rest. It was chosen here, on held-out images: 5 x 5 kernels (99.1 % after six
    epochs; 99.0 % with 3 x 3), half a cosine (99.2 % after five).
Command: digitmill train --recipe cnn --data tfds:mnist --output run
Time: about 40 s of training on two CPU cores.
Accuracy: 99.35 % ± 0.06 (mean and standard deviation of seeds 1, 2, 3) on the test set of 10,000, which
    was evaluated once per run, at the end: 99.28, 99.37, 99.39. A first form, six epochs at a constant
    learning rate, had reached 98.95 and 99.05 there; that made us look again, and the schedule was then
    chosen on validation images.
"""

import keras

from trainer.recipes.parts.recipe import Recipe
from trainer.recipes.parts.search_space import Choice, Real


def model() -> keras.Model:
    """Build the network: 184,586 parameters."""
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
            keras.layers.Dense(10, activation="softmax", dtype="float32"),
        ]
    )


def optimizer(steps: int) -> keras.optimizers.Optimizer:
    """Build Adam with a learning rate that falls from 1e-3 to 1e-5 along half a cosine."""
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps, alpha=0.01))


RECIPE = Recipe(
    model=model,
    optimizer=optimizer,
    loss=keras.losses.SparseCategoricalCrossentropy,
    one_hot=False,
    epochs=5,
    batch=64,
    search={
        "learning_rate": Real(3e-4, 1e-2, log=True),
        "batch": Choice((32, 64, 128, 256)),
        "schedule": Choice(("warmup-cosine", "one-cycle")),
        "label_smoothing": Real(0.0, 0.1),
    },
)
