"""Trains by digitmill and by plain `model.fit` from NumPy and from tf.data, in turns."""

import itertools
import sys
from collections.abc import Iterator
from typing import Final

from benchmarks import process
from benchmarks.results import Run
from digitmill.machine import cpu_count

CONTENDERS: Final = {
    "digitmill": "digitmill",
    "fit from NumPy": "numpy",
    "fit from tf.data": "tf.data",
}
"""Names for tables, and what `benchmarks.epochs` calls them."""


def training(recipe: str, *, images: int, rounds: int) -> Iterator[Run]:
    """Yield the runs, whose pipeline seconds are those of an epoch once the graph is traced."""
    for turn, name in itertools.product(range(rounds), CONTENDERS):
        command = [sys.executable, "-m", "benchmarks.epochs", CONTENDERS[name], recipe, images]
        finished = process.run(command)
        yield Run(
            section="training",
            model=recipe,
            images=images,
            contender=name,
            turn=turn,
            cores=cpu_count(),
            pipeline_seconds=float(finished.output.split()[-1]),
            command_seconds=finished.seconds,
            processor_seconds=finished.processor_seconds,
        )
