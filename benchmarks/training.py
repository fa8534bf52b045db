"""Trains by digitmill and by plain `model.fit`, with one replica and with two, in turns.

Usage: python -m benchmarks.training [--rounds N]

digitmill's epochs are whole ones as the job runs them: checkpoint and TensorBoard included. `fit` gets
the same network, optimizer, batch and NumPy arrays, and nothing to write. Medians and ratios are what
counts: machines differ. The last table says where the time of an augmented training goes.
"""

import argparse
import contextlib
import dataclasses
import io
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from trainer.quiet import quiet_stderr

with quiet_stderr():
    from trainer.strategy import make_strategy

    TWO = make_strategy(2)
    ONE = make_strategy(1)

import keras
import numpy as np
import tensorflow as tf

from benchmarks.setting import digits
from trainer import pipeline, recipes
from trainer.augmentation import Augmentation
from trainer.checkpoints import Checkpoints, Saving
from trainer.data.splits import Digits, Split
from trainer.loop import Trainer
from trainer.places import LocalPlace
from trainer.recipe import Recipe
from trainer.tensorboard import TensorBoard

IMAGES = {"dense-300-100": 55_000, "cnn": 12_000}
AUGMENTATION = {"rotation": 15.0, "shift": 3.0, "zoom": 0.12, "shear": 0.15}
BATCH = 128


def split_of(count: int) -> Split:
    images, labels = digits(count)
    return Split(images, labels)


def epochs_of(
    recipe: Recipe, split: Split, strategy: tf.distribute.Strategy, folder: pathlib.Path
) -> Callable[[], float]:
    """Returns what runs one more epoch of a training and returns its seconds."""
    place = LocalPlace(folder)
    trainer = Trainer(
        recipe,
        Digits("benchmark", split, None, split),
        strategy=strategy,
        seed=1,
        saving=Saving(Checkpoints(place)),
        board=TensorBoard(place),
    )
    return timed(trainer.epochs())


def timed(epochs: Iterator) -> Callable[[], float]:
    def one() -> float:
        started = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            next(epochs)
        return time.perf_counter() - started

    return one


def fit_of(recipe: Recipe, split: Split) -> Callable[[], float]:
    model = recipe.model()
    model.compile(optimizer=recipe.optimizer(100_000), loss=recipe.loss(), metrics=["accuracy"])

    def one() -> float:
        started = time.perf_counter()
        model.fit(split.images, split.labels, batch_size=recipe.batch, verbose=0)
        return time.perf_counter() - started

    return one


def compare(name: str, rounds: int, folder: pathlib.Path) -> None:
    recipe = dataclasses.replace(recipes.load(name), epochs=rounds + 1)
    split = split_of(IMAGES[name])
    contenders = {
        "fit": fit_of(recipe, split),
        "digitmill": epochs_of(recipe, split, ONE, folder / name / "one"),
        "two replicas": epochs_of(recipe, split, TWO, folder / name / "two"),
    }
    for contender in contenders.values():
        contender()  # traces the graph
    seconds = {contender: [] for contender in contenders}
    for _ in range(rounds):
        for contender, epoch in contenders.items():
            seconds[contender].append(epoch())
    medians = {contender: statistics.median(values) for contender, values in seconds.items()}
    print(f"\n{name}, batch {recipe.batch}, an epoch of {IMAGES[name]:,} images: median (all) seconds")
    for contender, values in seconds.items():
        runs = ", ".join(f"{value:.2f}" for value in values)
        print(
            f"  {contender:14} {medians[contender]:6.2f} ({runs}) {IMAGES[name] / medians[contender]:9,.0f}/s"
        )
    print(f"  digitmill / fit            {medians['digitmill'] / medians['fit']:.2f}")
    print(f"  two replicas / digitmill   {medians['two replicas'] / medians['digitmill']:.2f}")


def network() -> keras.Model:
    """A network of 290,000 parameters that reaches 99.7 % with augmentation."""
    layers = [keras.Input((28, 28), dtype="uint8"), keras.layers.Rescaling(1 / 255)]
    layers += [keras.layers.Reshape((28, 28, 1)), *convolution(32, 5, "valid"), keras.layers.MaxPooling2D()]
    layers += [*convolution(64), *convolution(64), keras.layers.MaxPooling2D()]
    layers += [*convolution(128), *convolution(128), keras.layers.MaxPooling2D(), keras.layers.Flatten()]
    return keras.Sequential(
        [*layers, keras.layers.Dropout(0.3), keras.layers.Dense(10, activation="softmax")]
    )


def convolution(filters: int, size: int = 3, padding: str = "same") -> list[keras.layers.Layer]:
    return [
        keras.layers.Conv2D(filters, size, padding=padding, use_bias=False),
        keras.layers.BatchNormalization(momentum=0.9),
        keras.layers.ReLU(),
    ]


def breakdown(rounds: int) -> None:
    """Times the input pipeline alone, the step alone, and both together as a training has them."""
    split = split_of(60_000)
    recipe = Recipe(
        model=network,
        optimizer=lambda steps: keras.optimizers.AdamW(3e-3),
        loss=keras.losses.SparseCategoricalCrossentropy,
        one_hot=False,
        epochs=100,
        batch=BATCH,
        augmentation=Augmentation(**AUGMENTATION),
    )
    trainer = Trainer(recipe, Digits("benchmark", split, None, split), strategy=ONE, seed=1)
    order = pipeline.Order(steps=trainer.steps, epochs=1_000, seed=1)

    def batches(augmentation: Augmentation | None) -> Iterator:
        datasets = pipeline.training_datasets(
            split, strategy=ONE, per_replica=BATCH, order=order, augmentation=augmentation
        )
        return pipeline.training_batches(datasets, ONE)

    plain, augmented, together = batches(None), batches(recipe.augmentation), batches(recipe.augmentation)
    same = tf.data.Dataset.from_tensors((split.images[None, :BATCH], split.labels[None, :BATCH])).repeat()
    repeated = pipeline.training_batches(lambda *_: same, ONE)
    sums = tf.zeros(3, tf.float64)
    parts: dict[str, Callable[[], float]] = {
        "input, images as they are": lambda: consumed(plain, 400),
        "input, augmented": lambda: consumed(augmented, 400),
        "step alone": lambda: stepped(trainer, repeated, 30, sums),
        "augmented input and step": lambda: stepped(trainer, together, 30, sums),
    }
    for part in parts.values():
        part()
    speeds = {name: [] for name in parts}
    for _ in range(rounds):
        for name, part in parts.items():
            speeds[name].append(part())
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    print(f"\n{trainer.model.count_params():,} parameters, batch {BATCH}: images/s, µs an image")
    for name, speed in medians.items():
        print(f"  {name:27} {speed:9,.0f} {1e6 / speed:9.1f}")
    ratio = medians["input, augmented"] / medians["step alone"]
    print(f"  augmented input / step alone  {ratio:.2f}")


def consumed(batches: Iterator, count: int) -> float:
    @tf.function
    def go(batches: Iterator) -> tf.Tensor:
        seen = tf.constant(0, tf.int64)
        for _ in tf.range(count):
            images, *_ = next(batches)
            seen += tf.cast(ONE.experimental_local_results(images)[0][0, 0, 0, 0], tf.int64)
        return seen

    go(batches)
    started = time.perf_counter()
    go(batches).numpy()
    return count * BATCH / (time.perf_counter() - started)


def stepped(trainer: Trainer, batches: Iterator, count: int, sums: tf.Tensor) -> float:
    started = time.perf_counter()
    found = trainer._runner.run(batches, count, sums=sums).numpy()
    seconds = time.perf_counter() - started
    if not np.isfinite(found).all():
        raise SystemExit("the training diverged")
    return count * BATCH / seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in IMAGES:
            compare(name, arguments.rounds, pathlib.Path(folder))
    breakdown(arguments.rounds)


if __name__ == "__main__":
    main()
