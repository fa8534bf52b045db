"""Two dense layers of 256 and 128, Adam, one-hot labels.

Source: the usual first dense network for MNIST in tutorials: Adam with Keras's learning rate, 10
    epochs, batches of 32. It is silent about held-out images and accuracy: the 5,000 are ours.
Command: digitmill train --recipe dense-256-128 --data tfds:mnist --output run
Time: about 20 s of training on two CPU cores.
Accuracy: 97.89 % ± 0.24 (mean and standard deviation of seeds 1, 2, 3) on the test set of 10,000, which
    was evaluated once per run, at the end: 98.05, 97.62, 98.01.
"""

import keras

from trainer.recipes.parts.layers import perceptron
from trainer.recipes.parts.recipe import Recipe
from trainer.recipes.parts.search_space import Choice, Real


def model(*, dropout: float = 0.0, batch_norm: bool = False) -> keras.Model:
    """Build the network: 235,146 parameters without the options."""
    return perceptron(256, 128, dropout=dropout, batch_norm=batch_norm)


RECIPE = Recipe(
    model=model,
    optimizer=lambda steps: keras.optimizers.Adam(learning_rate=1e-3),
    loss=keras.losses.CategoricalCrossentropy,
    one_hot=True,
    epochs=10,
    batch=32,
    dropout=0.0,
    batch_norm=False,
    search={
        "learning_rate": Real(1e-4, 1e-2, log=True),
        "batch": Choice((32, 64, 128, 256)),
        "schedule": Choice(("constant", "warmup-cosine", "one-cycle")),
        "dropout": Real(0.0, 0.4),
        "batch_norm": Choice((False, True)),
    },
)
