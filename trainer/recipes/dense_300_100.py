"""Two dense layers of 300 and 100, SGD: the first image classifier in Géron's book.

Source: A. Géron, "Hands-On Machine Learning with Scikit-Learn, Keras, and TensorFlow", chapter 10:
    SGD with Keras's learning rate of 0.01, 30 epochs, batches of 32, 5,000 images held out; 97.8 % on
    the test set.
Command: digitmill train --recipe dense-300-100 --data tfds:mnist --output run
Time: about 40 s of training on two CPU cores.
Accuracy: 97.85 % ± 0.04 (mean and standard deviation of seeds 1, 2, 3) on the test set of 10,000, which
    was evaluated once per run, at the end: 97.83, 97.90, 97.82.
"""

import keras

from trainer.recipes.parts.layers import perceptron
from trainer.recipes.parts.recipe import Recipe
from trainer.recipes.parts.search_space import Choice, Real


def model(*, dropout: float = 0.0, batch_norm: bool = False) -> keras.Model:
    """Build the network: 266,610 parameters without the options."""
    return perceptron(300, 100, dropout=dropout, batch_norm=batch_norm)


RECIPE = Recipe(
    model=model,
    optimizer=lambda steps: keras.optimizers.SGD(learning_rate=0.01),
    loss=keras.losses.SparseCategoricalCrossentropy,
    one_hot=False,
    epochs=30,
    batch=32,
    dropout=0.0,
    batch_norm=False,
    search={
        "learning_rate": Real(1e-2, 1.0, log=True),
        "batch": Choice((32, 64, 128, 256)),
        "schedule": Choice(("constant", "warmup-cosine", "one-cycle")),
        "dropout": Real(0.0, 0.4),
        "batch_norm": Choice((False, True)),
    },
)
