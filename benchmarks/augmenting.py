"""Says where the time of an augmented training goes: the input alone, the step alone, both together.

Usage: python -m benchmarks.augmenting [--rounds N]

Medians and ratios are what counts: machines differ.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from trainer.quiet import quiet_stderr

with quiet_stderr():
    from trainer.cluster.strategy import make_strategy

    ONE = make_strategy(1)

import keras
import numpy as np
import tensorflow as tf

from benchmarks.setting import digits
from trainer.data.splits import Digits, Split
from trainer.loop import pipeline
from trainer.loop.training_loop import Trainer
from trainer.recipes.parts.augmentation import Augmentation
from trainer.recipes.parts.recipe import Recipe

AUGMENTATION = {"rotation": 15.0, "shift": 3.0, "zoom": 0.12, "shear": 0.15}
BATCH = 128


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
    split = Split(*digits(60_000))
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
    order = pipeline.BatchOrder(steps_per_epoch=trainer.steps_per_epoch, epochs=1_000, seed=1)

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
    breakdown(parser.parse_args().rounds)


if __name__ == "__main__":
    main()
