"""Prints as JSON how fast a recipe trains in several ways, one after the other in this process.

Usage: python -m benchmarks.gpu_check.speed RECIPE IMAGES EPOCHS WAY...

Ways: tf32 (float32 as GPUs compute it by default), float32 (in full), mixed, xla (mixed, compiled), fit
(Keras's `model.fit` on the same network, from tf.data), not_deterministic (mixed, --no-deterministic),
one and two (replicas, each with a batch of its own), hierarchical and nccl (two, by that --all-reduce). What
the devices can't do is left out. The first epoch, which traces graphs, does not count.
"""

import contextlib
import dataclasses
import io
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from digitmill.native_log import quiet_start

with quiet_start():
    import keras
    import psutil
    import tensorflow as tf

    from trainer.cluster import devices
    from trainer.cluster.strategy import enable_determinism, make_strategy

from benchmarks.workspace import digits
from trainer import recipes
from trainer.data.splits import Digits, Split
from trainer.loop.precision import exact_float32
from trainer.loop.training_loop import Trainer
from trainer.recipes.parts.recipe import Recipe

CHANGES: Final[dict[str, dict[str, Any]]] = {
    "tf32": {"precision": "float32"},
    "float32": {"precision": "float32"},
    "mixed": {"precision": "mixed"},
    "xla": {"precision": "mixed", "xla": True},
    "not_deterministic": {"precision": "mixed"},
    "one": {"precision": "mixed"},
    "two": {"precision": "mixed"},
    "hierarchical": {"precision": "mixed"},
    "nccl": {"precision": "mixed"},
}
TWO: Final = {"two": "auto", "hierarchical": "hierarchical", "nccl": "nccl"}
"""How two replicas sum their gradients."""


def memory() -> int:
    """Return the bytes in use: of the first GPU, or of this process where there is none."""
    if devices.gpus():
        return int(tf.config.experimental.get_memory_info("GPU:0")["current"])
    return int(psutil.Process().memory_info().rss)


def digitmill(recipe: Recipe, split: Split, *, way: str) -> Iterator[float]:
    """Yield the seconds of each epoch's steps, without validation."""
    held_out = split.take(slice(min(len(split), 1_000)))
    replicas = 2 if way in TWO else 1
    trainer = Trainer(
        dataclasses.replace(recipe, batch=recipe.batch * replicas),
        Digits("check", split, None, held_out),
        strategy=make_strategy(replicas, all_reduce=TWO.get(way, "auto")),
        seed=1,
    )
    for epoch in trainer.epochs():
        yield epoch.seconds


def fit(recipe: Recipe, split: Split) -> Iterator[float]:
    """Yield the seconds of each epoch of `model.fit`, with Keras's defaults: XLA where there is a GPU."""
    model = recipe.model()
    loss = keras.losses.SparseCategoricalCrossentropy()
    model.compile(optimizer=recipe.optimizer(100_000), loss=loss, metrics=["accuracy"])
    batches = tf.data.Dataset.from_tensor_slices((split.images, split.labels)).cache()
    batches = batches.shuffle(10_000).batch(recipe.batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    for _ in range(recipe.epochs):
        started = time.perf_counter()
        model.fit(batches, verbose=0)
        yield time.perf_counter() - started


def measure(way: str, recipe: Recipe, split: Split) -> dict[str, Any]:
    """Train in one way and return steps/s, seconds of the first epoch, and memory after each epoch."""
    replicas = 2 if way in TWO else 1
    epochs = (
        fit(recipe, split)
        if way == "fit"
        else digitmill(dataclasses.replace(recipe, **CHANGES[way]), split, way=way)
    )
    seconds, used = [], []
    with contextlib.redirect_stdout(io.StringIO()):
        for each in epochs:
            seconds.append(each)
            used.append(memory())
    steps = len(split) // (recipe.batch * replicas)
    per_second = steps / statistics.median(seconds[1:] or seconds)
    return {
        "steps/s": round(per_second, 2),
        "images/s": round(per_second * recipe.batch * replicas),
        "first epoch's seconds": round(seconds[0], 2),
        "bytes kept by later epochs": used[-1] - used[min(1, len(used) - 1)],
    }


def main(name: str, images: str, epochs: str, *ways: str) -> None:
    gpus, shared = devices.gpus(), not set(TWO).isdisjoint(ways)
    if shared and (len(gpus) == 1 or ("nccl" in ways and not gpus)):
        print("{}")
        return
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if not gpus:
        make_strategy(2 if shared else 1)  # the number of logical CPUs is fixed from then on
    if not {"fit", "not_deterministic"} & set(ways):
        enable_determinism()
    recipe = dataclasses.replace(recipes.load(name), epochs=int(epochs))
    split = Split(*digits(int(images)))
    exact: dict[str, Callable[[], Any]] = {"float32": exact_float32}
    found = {}
    for way in ways:
        keras.utils.clear_session()
        keras.utils.set_random_seed(1)
        with exact.get(way, contextlib.nullcontext)():
            found[way] = measure(way, recipe, split)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
