"""The parts of the check: each starts processes, and returns what they found as JSON types."""

import csv
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from benchmarks.process import ROOT
from trainer.run.checkpoints import Checkpoint, Checkpoints
from trainer.run.run_location import LocalPlace

_TAIL: Final = 1_500
"""Characters of a failed process's words that are kept."""


class PartError(Exception):
    """A part of the check has failed."""


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much is run.

    Attributes:
        recipe: whose speed is measured.
        images: of an epoch of the measured network.
        epochs: of the measured network; the first, which traces graphs, does not count.
        fast: epochs of `fast-99` and the validation accuracy that it must reach, by source; of others "".
        resumed: recipe and epochs of the run that is killed and resumed.
        scored: images to score.
    """

    recipe: str = "strong-cnn"
    images: int = 60_000
    epochs: int = 3
    fast: Mapping[str, tuple[int, float]] = dataclasses.field(
        default_factory=lambda: {"sample": (12, 0.98), "": (3, 0.99)}
    )
    resumed: tuple[str, int] = ("small-cnn", 12)
    scored: int = 500


FULL: Final = Effort()
TINY: Final = Effort("dense-128", 256, 2, {"": (4, 0.5)}, ("dense-128", 4), 20)


@dataclasses.dataclass(frozen=True)
class Check:
    """What all parts are run with.

    Attributes:
        folder: for their outputs.
        data: of the trainings, as `--data` takes it.
        allow_cpu: whether logical CPUs may stand in for GPUs.
    """

    folder: pathlib.Path
    data: str
    effort: Effort
    allow_cpu: bool

    @property
    def flags(self) -> list[str]:
        """The flags of a training that say which devices it may use."""
        return ["--allow-cpu"] if self.allow_cpu else ["--require-gpus", "1"]

    def train(self, name: str, *more: object, data: str | None = None) -> list[str]:
        """Return the command of a training into the folder NAME, on the check's data or on others."""
        words = [
            "-m",
            "trainer.task",
            "--data",
            data or self.data,
            "--output",
            self.folder / name,
            *self.flags,
        ]
        return [sys.executable, *map(str, (*words, *more))]


def finish(command: Sequence[object], seconds: float) -> str:
    """Run a command and return what it printed; raise PartError if it fails or takes longer."""
    try:
        done = subprocess.run(
            list(map(str, command)),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=max(seconds, 1),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PartError(f"no time left for {' '.join(map(str, command[1:5]))}") from error
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip())[-_TAIL:]
        raise PartError(f"{' '.join(map(str, command[1:5]))} … ended with {done.returncode}: {words}")
    return done.stdout


def module(name: str, *arguments: object) -> list[str]:
    """Return the command that runs a module of this package, which prints JSON in its last line."""
    return [sys.executable, "-m", f"benchmarks.gpu_check.{name}", *map(str, arguments)]


def fast(check: Check, seconds: float) -> dict[str, Any]:
    """Train `fast-99`, and see whether it reaches its accuracy and how far its formats differ."""
    epochs, goal = check.effort.fast.get(check.data, check.effort.fast[""])
    printed = finish(check.train("fast", "--recipe", "fast-99", "--epochs", epochs), seconds)
    card = json.loads((check.folder / "fast/bundle/model_card.json").read_text(encoding="utf-8"))
    with (check.folder / "fast/history.csv").open(encoding="utf-8") as file:
        reached = [float(row["val_accuracy"]) for row in csv.DictReader(file)]
    if max(reached) < goal:
        raise PartError(f"validation accuracy {max(reached):.4f}, less than {goal}")
    return {
        "devices": printed.partition("\n")[0],
        "validation accuracy": max(reached),
        "goal": goal,
        "test accuracy": card["test_accuracy"]["right"] / card["test_accuracy"]["images"],
        "training seconds": card["train_seconds"],
        "images/s": card["images_per_second"],
        "formats": {row["name"]: row["difference"] for row in card["exports"]},
    }


def devices(check: Check, seconds: float) -> dict[str, Any]:
    """Name driver, CUDA and devices; compare the SavedModel with LiteRT; see which memory it takes."""
    found = json.loads(finish(module("device", check.folder / "fast/bundle"), seconds).splitlines()[-1])
    # In this form, NaN fails too.
    if not found["SavedModel and LiteRT differ by"] <= found["allowed"]:
        raise PartError(f"SavedModel and LiteRT differ by too much: {found}")
    return found


def speed(check: Check, seconds: float) -> dict[str, Any]:
    """Measure steps/s of digitmill and of `model.fit`, by precision, with and without XLA."""
    size = (check.effort.recipe, check.effort.images, check.effort.epochs)
    deadline = time.monotonic() + seconds
    found: dict[str, Any] = {}
    # Deterministic operations can't be given up within a process.
    for ways in (("tf32", "float32", "mixed", "xla"), ("fit", "not_deterministic")):
        printed = finish(module("speed", *size, *ways), deadline - time.monotonic())
        found |= json.loads(printed.splitlines()[-1])
    return {"ways": found}


def replicas(check: Check, seconds: float) -> dict[str, Any]:
    """Measure one replica against two, by each way to sum gradients, where there are two devices."""
    command = module("speed", check.effort.recipe, check.effort.images, check.effort.epochs)
    deadline = time.monotonic() + seconds
    found: dict[str, Any] = {}
    for way in ("two", "hierarchical", "nccl", "one"):
        found |= json.loads(finish([*command, way], deadline - time.monotonic()).splitlines()[-1])
        if not found:
            return {"not measured": "there is one GPU"}
    return {"ways": found}


def resume(check: Check, seconds: float) -> dict[str, Any]:
    """Kill a training and resume it; say what equals an undisturbed one, to the bit."""
    deadline = time.monotonic() + seconds
    recipe, epochs = check.effort.resumed
    words = ["--recipe", recipe, "--epochs", epochs, "--batch", 100, "--checkpoint-steps", 5]

    def command(name: str, *more: str) -> list[str]:
        return check.train(name, *words, *more, data="sample")

    for name in ("alone", "again"):
        finish(command(name), deadline - time.monotonic())
    step = _kill(command("killed"), check.folder / "killed/checkpoints", deadline)
    finish(command("killed", "--resume"), deadline - time.monotonic())
    alone, again, killed = (_final(check.folder / name) for name in ("alone", "again", "killed"))
    found = {
        "killed after step": step,
        "steps": alone.step,
        "two runs are equal": _equal(alone, again),
        "the resumed run is equal": _equal(alone, killed),
    }
    if not (found["two runs are equal"] and found["the resumed run is equal"]):
        raise PartError(f"not to the bit: {found}")
    return found


def _kill(command: Sequence[str], checkpoints: pathlib.Path, deadline: float) -> int:
    """Start a training, kill it after its first checkpoint, and return the newest one's step."""
    saved = Checkpoints(LocalPlace(checkpoints))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), **quiet) as process:
        try:
            while process.poll() is None and time.monotonic() < deadline and not saved.steps():
                time.sleep(0.002)
            ended = process.poll()
        finally:
            process.kill()
    if ended is not None or not saved.steps():
        raise PartError(f"the training could not be killed in time; exit code {ended}")
    return max(saved.steps())


def _final(run: pathlib.Path) -> Checkpoint:
    found = Checkpoints(LocalPlace(run / "checkpoints")).load_newest()
    if found is None:
        raise PartError(f"no checkpoint in {run}")
    return found


def _equal(one: Checkpoint, other: Checkpoint) -> bool:
    return one.step == other.step and all(
        np.array_equal(value, other.arrays[name]) for name, value in one.arrays.items()
    )


def score(check: Check, seconds: float) -> dict[str, Any]:
    """Score the same digits by the SavedModel and by LiteRT, each by the command."""
    deadline = time.monotonic() + seconds
    digits = check.folder / "digits"
    command = [sys.executable, "-m", "digitmill"]
    finish([*command, "sample", digits, "--n", check.effort.scored], deadline - time.monotonic())
    rows: dict[str, dict[str, tuple[str, float]]] = {}
    took = {}
    for engine in ("saved_model", "litert"):
        output = check.folder / f"scores-{engine}"
        words = ["score", "--input", digits, "--model", check.folder / "fast/bundle", "--output", output]
        started = time.monotonic()
        finish([*command, *words, "--engine", engine], deadline - started)
        took[f"{engine} seconds"] = round(time.monotonic() - started, 1)
        rows[engine] = _predictions(output)
    pairs = [(row, rows["litert"][image]) for image, row in rows["saved_model"].items()]
    difference = max(abs(one[1] - other[1]) for one, other in pairs)
    found = {
        "images": len(pairs),
        "digits that differ": sum(one[0] != other[0] for one, other in pairs),
        "confidence differs by": difference,
        **took,
    }
    if len(pairs) != check.effort.scored or found["digits that differ"] or difference > 1e-3:
        raise PartError(f"the engines differ: {found}")
    return found


def _predictions(output: pathlib.Path) -> dict[str, tuple[str, float]]:
    found = {}
    for path in sorted((output / "predictions").rglob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            found |= {row["image"]: (row["digit"], float(row["confidence"])) for row in csv.DictReader(file)}
    return found


PARTS: Final[Mapping[str, Callable[[Check, float], dict[str, Any]]]] = {
    "fast-99 and its export": fast,
    "devices and memory": devices,
    "scoring": score,
    "speed": speed,
    "kill and resume": resume,
    "one and two replicas": replicas,
}
"""The parts, by name, the most telling first."""
