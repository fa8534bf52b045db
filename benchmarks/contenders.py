"""The contenders: digitmill and what its users would otherwise run, each as a command."""

import dataclasses
import datetime
import importlib.util
import json
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Final, Self

from digitmill.engines.bundle_loader import open_bundle
from digitmill.engines.engine_timing import fastest

SHIPPED: Final = "everyday-cnn-refined"
"""The recipe of the model that comes with digitmill."""


@dataclasses.dataclass(frozen=True)
class Model:
    """A model to score with.

    Attributes:
        recipe: the recipe it is trained by.
        bundle: its model bundle.
        engine: the engine of the ceiling, which is the one that digitmill chooses here; the others have its
            Keras model.
    """

    recipe: str
    bundle: pathlib.Path = pathlib.Path()
    engine: str = ""

    def with_engine(self) -> Self:
        """Return the model with the engine that `--engine auto` finds fastest on this machine."""
        return dataclasses.replace(self, engine=fastest(open_bundle(self.bundle)).engine.kind)


MODELS: Final = (Model("dense-300-100"), Model(SHIPPED))


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to score a folder.

    Attributes:
        name: for tables.
        command: makes the command from images, model and output folder.
        seconds: finds the pipeline's seconds in what it printed and in its output folder.
        requires: modules without which it cannot run.
        most: images in the largest folder that it scores, to stay within a quarter of an hour.
    """

    name: str
    command: Callable[[object, Model, pathlib.Path], Sequence[object]]
    seconds: Callable[[str, pathlib.Path], float]
    requires: tuple[str, ...] = ()
    most: int = 60_000

    @property
    def installed(self) -> bool:
        """Whether what it needs is there."""
        return all(importlib.util.find_spec(module) is not None for module in self.requires)


def score(images: object, model: Model, output: pathlib.Path) -> Sequence[object]:
    """Return digitmill's own command."""
    files = ["--input", images, "--model", model.bundle, "--output", output]
    return [sys.executable, "-m", "digitmill", "score", *files]


def job_seconds(_: str, output: pathlib.Path) -> float:
    """Return the seconds from the job's start to its last row, counted and reconciled.

    The manifest's `pipeline_seconds` leave out checking the bundle and reconciling; the other contenders'
    seconds hold loading the model, and so do these.
    """
    times = json.loads((output / "manifest.json").read_text())["times"]
    started, finished = (datetime.datetime.fromisoformat(times[name]) for name in ("started", "finished"))
    return (finished - started).total_seconds()


def printed_seconds(printed: str, _: pathlib.Path) -> float:
    """Return the number that a script has printed last."""
    return float(printed.rsplit(maxsplit=1)[-1])


def script(module: str) -> Callable[[object, Model, pathlib.Path], Sequence[object]]:
    """Return what makes the command of one of the scripts beside this file."""
    return lambda images, model, output: [
        sys.executable, "-m", f"benchmarks.{module}", images, model.bundle, output
    ]  # fmt: skip


def ceiling(images: object, model: Model, output: pathlib.Path) -> Sequence[object]:
    """Return the command of the loop without Beam, with the engine that digitmill runs."""
    return [*script("ceiling")(images, model, output), model.engine]


def ceiling_on_two(images: object, model: Model, output: pathlib.Path) -> Sequence[object]:
    """Return the command of the same loop, whose engine has two threads."""
    return [*ceiling(images, model, output), 2]


DIGITMILL: Final = Contender("digitmill", score, job_seconds)
STOCK_BEAM: Final = Contender("stock Beam", script("stock_beam"), printed_seconds, ("tensorflow_hub",))
PLAIN_KERAS: Final = Contender("plain Keras", script("plain_keras"), printed_seconds)
RAY_DATA: Final = Contender("Ray Data", script("ray_data"), printed_seconds, ("ray",), 10_000)
CEILING: Final = Contender("loop without Beam", ceiling, printed_seconds)
CEILING_ON_TWO: Final = Contender("loop, engine on 2 threads", ceiling_on_two, printed_seconds)
BOUNDS: Final = (CEILING, CEILING_ON_TWO)
"""Bounds, not peers: nobody runs them. The better of the two is what the machine could do."""

ALL: Final = (DIGITMILL, STOCK_BEAM, PLAIN_KERAS, RAY_DATA, *BOUNDS)


def installed(contenders: Sequence[Contender] = ALL) -> tuple[Contender, ...]:
    """Return the contenders that can run here."""
    return tuple(contender for contender in contenders if contender.installed)
