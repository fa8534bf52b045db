"""Trains the first steps on a source, in a process of its own; `benchmarks.training_data` starts it.

Usage: python -m benchmarks.first_steps SOURCE CACHE_DIR|- STEPS [stream]

Prints as JSON the seconds from the start of the process until TensorFlow is ready, the data is read and the
first chunk of steps is done, its processor seconds until then, and the images per second of later steps. With
`stream` the data is read while training goes on, and is complete at the end.
"""

import contextlib
import json
import sys
import time
from typing import Final

import psutil

from digitmill.native_log import quiet_start
from trainer.data.reading import ReadOptions
from trainer.data.sources.source_specs import open_sources
from trainer.loop.actions.action import StepReport
from trainer.train_options import TrainOptions

RECIPE: Final = "dense-128"
_BATCH: Final = 1_000


class EnoughStepsError(Exception):
    """Enough steps are done to know their speed."""


class Stopwatch:
    """Notes when chunks of steps end; takes the place of the writer of TensorBoard's events."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self.reports: list[tuple[float, int, float]] = []

    def after_steps(self, report: StepReport) -> None:
        self.reports.append((since_start(), report.step, processor_seconds()))
        if report.step >= self._steps:
            raise EnoughStepsError

    def write_images(self, images: object, *, step: int) -> None:
        """Do nothing."""

    def after_epoch(self, report: object) -> None:
        """Do nothing."""


def since_start() -> float:
    """Return the seconds since this process was started."""
    return time.time() - psutil.Process().create_time()


def processor_seconds() -> float:
    """Return the processor time of this process and the children that have ended."""
    times = psutil.Process().cpu_times()
    return times.user + times.system + times.children_user + times.children_system


def main(spec: str, cache_dir: str, steps: int, *, stream: bool = False) -> None:
    """Read the source, train that many steps and print what it took."""
    with quiet_start():
        from trainer.job import training
        from trainer.loop.training_loop import Trainer

    options = TrainOptions(recipe=RECIPE, data=spec, output="unused", batch=_BATCH, epochs=1, stream=stream)
    source = open_sources(spec, ReadOptions(cache_dir=None if cache_dir == "-" else cache_dir))
    strategy = training.start_devices(options)
    ready = since_start()
    recipe = training.effective_recipe(options, strategy)
    with training.opened_data(options, source, recipe, strategy=strategy) as data:
        digest = data.identity
        read = since_start()
        watch = Stopwatch(steps)
        trainer = Trainer(recipe, data, strategy=strategy, seed=0, tensorboard=watch)  # type: ignore[arg-type]
        with contextlib.suppress(EnoughStepsError):
            next(trainer.epochs())
        whole = data.whole()
        read = since_start() if stream else read
    images = {name: len(split) for name, split in whole.splits().items()}
    (first, begun, processor), (last, done, _) = watch.reports[0], watch.reports[-1]
    speed = (done - begun) * _BATCH / (last - first) if done > begun else None
    times = {"ready": ready, "read": read, "first": first, "processor": processor}
    print(json.dumps({**times, "images_per_second": speed, "images": images, "digest": digest}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), stream=sys.argv[4:] == ["stream"])
