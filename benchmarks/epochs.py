"""Trains a recipe's network for some epochs in one way, and prints the median seconds of an epoch.

Usage: python -m benchmarks.epochs digitmill|numpy|tf.data RECIPE IMAGES

digitmill's epochs are whole ones as the job runs them, checkpoint and TensorBoard included. `fit` gets the
same network, optimizer, batch and images, and nothing to write, as
https://keras.io/guides/training_with_built_in_methods/ and https://www.tensorflow.org/guide/data recommend.
The first epoch, which traces the graph, does not count.
"""

import contextlib
import dataclasses
import io
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from digitmill.native_log import quiet_stderr

with quiet_stderr():
    import tensorflow as tf

    from trainer.cluster.strategy import make_strategy

from benchmarks.workspace import digits
from trainer import recipes
from trainer.data.splits import Digits, Split
from trainer.loop.actions.tensorboard import TensorBoard
from trainer.loop.training_loop import Trainer
from trainer.recipes.parts.recipe import Recipe
from trainer.run.checkpoints import CheckpointOptions, Checkpoints
from trainer.run.run_location import LocalPlace

EPOCHS = 2


def digitmill(recipe: Recipe, split: Split, folder: pathlib.Path) -> Callable[[], None]:
    """Return a function that runs one more epoch of digitmill's training."""
    place = LocalPlace(folder)
    trainer = Trainer(
        dataclasses.replace(recipe, epochs=EPOCHS + 1),
        Digits("benchmark", split, None, split),
        strategy=make_strategy(1),
        seed=1,
        checkpointing=CheckpointOptions(Checkpoints(place)),
        tensorboard=TensorBoard(place),
    )
    epochs = trainer.epochs()

    def one() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            next(epochs)

    return one


def fit(recipe: Recipe, split: Split, *, dataset: bool) -> Callable[[], None]:
    """Return a function that runs one more epoch of Keras's `fit`."""
    model = recipe.model()
    model.compile(optimizer=recipe.optimizer(100_000), loss=recipe.loss(), metrics=["accuracy"])
    if not dataset:
        return lambda: model.fit(split.images, split.labels, batch_size=recipe.batch, verbose=0)
    batches = tf.data.Dataset.from_tensor_slices((split.images, split.labels)).cache()
    batches = batches.shuffle(10_000).batch(recipe.batch, num_parallel_calls=tf.data.AUTOTUNE)
    batches = batches.prefetch(tf.data.AUTOTUNE)
    return lambda: model.fit(batches, verbose=0)


def seconds(epoch: Callable[[], object]) -> float:
    """Return how long one more epoch takes."""
    started = time.perf_counter()
    epoch()
    return time.perf_counter() - started


def main(contender: str, name: str, count: str) -> None:
    recipe = recipes.load(name)
    split = Split(*digits(int(count)))
    with tempfile.TemporaryDirectory() as folder, quiet_stderr():
        if contender == "digitmill":
            epoch = digitmill(recipe, split, pathlib.Path(folder))
        else:
            epoch = fit(recipe, split, dataset=contender == "tf.data")
        epoch()
        taken = [seconds(epoch) for _ in range(EPOCHS)]
    print(statistics.median(taken))


if __name__ == "__main__":
    main(*sys.argv[1:])
