"""Three convolutions, one epoch, Adam along one cycle: the shortest way to 99 %.

Source: L. N. Smith, "Super-convergence", arXiv:1708.07120, for the cycle. The rest is ours; networks of
    28,000 to 119,000 parameters differed on the held-out images no more than two seeds of one did, and
    this one lies between them.
Command: digitmill train --recipe fast-99 --data idx:mnist --output run
Time: 4.8 to 8.3 s of training on two CPU cores in bfloat16 that other work shared.
Accuracy: 99.23 % ± 0.09 (mean and standard deviation of seeds 1, 2, 3) on the test set of 10,000, which
    was evaluated once per run, at the end: 99.16, 99.20, 99.33; the middle one's 95 % interval is 99.01 to
    99.36. The first form, of 61,762 parameters, was looked at there once, too: 99.26.
"""

import keras

from trainer.recipes.parts import schedules
from trainer.recipes.parts.layers import convolution
from trainer.recipes.parts.recipe import Recipe
from trainer.recipes.parts.search_space import Choice, Real


def model() -> keras.Model:
    """Build the network: 44,270 parameters, 280 of them moving averages."""
    return keras.Sequential(
        [
            keras.Input((28, 28), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Reshape((28, 28, 1)),
            *convolution(20, kernel=5, padding="valid", pooled=True),
            *convolution(40, pooled=True),
            *convolution(80, pooled=True),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax", dtype="float32"),
        ]
    )


def optimizer(steps: int) -> keras.optimizers.Optimizer:
    """Build Adam whose learning rate goes up to 0.01 and down again."""
    return keras.optimizers.Adam(schedules.make("one-cycle", peak=0.01, steps=steps), beta_1=0.7, beta_2=0.9)


RECIPE = Recipe(
    model=model,
    optimizer=optimizer,
    loss=keras.losses.SparseCategoricalCrossentropy,
    one_hot=False,
    epochs=1,
    batch=256,
    precision="mixed",
    search={
        "learning_rate": Real(3e-3, 3e-2, log=True),
        "batch": Choice((64, 128, 256, 512)),
        "schedule": Choice(("warmup-cosine", "one-cycle")),
    },
)
