"""What the measurements share: real digits, a bundle, contenders as processes, a table of medians."""

import gzip
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping

import cv2
import numpy as np

from digitmill.sample import write_sample
from imaging.batch import decode_batch

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"


def digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns uint8[count, 28, 28] real digits and their labels."""
    if (SHARED / "train-images-idx3-ubyte.gz").exists():
        images = gzip.decompress((SHARED / "train-images-idx3-ubyte.gz").read_bytes())[16:]
        labels = gzip.decompress((SHARED / "train-labels-idx1-ubyte.gz").read_bytes())[8:]
        return (
            np.frombuffer(images, np.uint8).reshape(-1, 28, 28)[:count],
            np.frombuffer(labels, np.uint8)[:count],
        )
    with tempfile.TemporaryDirectory() as folder:
        write_sample(pathlib.Path(folder) / "digits", "train")
        paths = sorted((pathlib.Path(folder) / "digits").rglob("*.png"))
        sample = decode_batch((path.read_bytes() for path in paths), len(paths)).digits
        labels = np.array([int(path.parent.name) for path in paths])
    return np.resize(sample, (count, 28, 28)), np.resize(labels, count)


def write_images(folder: pathlib.Path, count: int) -> None:
    for number, (image, label) in enumerate(zip(*digits(count), strict=True)):
        target = folder / str(label) / f"{number:06d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(cv2.imencode(".png", image)[1].tobytes())


def train(output: pathlib.Path) -> pathlib.Path:
    command = ["-m", "trainer.task", "--recipe", "dense-300-100", "--epochs", "3", "--output", str(output)]
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return output / "bundle"


def run_digitmill(
    images: object,
    bundle: pathlib.Path,
    output: pathlib.Path,
    *,
    environment: Mapping[str, str] | None = None,
) -> dict:
    """Scores in a process of its own and returns the manifest."""
    command = ["-m", "pipelines.score", "--input", images, "--model", bundle, "--output", output]
    arguments = [sys.executable, *map(str, command)]
    done = subprocess.run(
        arguments, capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})}
    )
    if done.returncode:
        raise SystemExit(f"digitmill failed:\n{done.stderr[-2000:]}")
    return json.loads((output / "manifest.json").read_text())


def script(module: str, *arguments: object, environment: Mapping[str, str] | None = None) -> float:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})}
    )
    if done.returncode:
        raise SystemExit(f"{module} failed:\n{done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def report(seconds: dict[str, list[float]], images: int) -> None:
    medians = {contender: statistics.median(values) for contender, values in seconds.items()}
    print(f"{images:,} images, {platform.machine()}, Python {platform.python_version()}, pipeline time")
    print(f"{'':18} {'seconds: median (all)':32} {'images/s':>9} {'digitmill is':>13}")
    for contender, values in seconds.items():
        runs = f"{medians[contender]:.2f} ({', '.join(f'{value:.2f}' for value in values)})"
        ratio = medians[contender] / medians["digitmill"]
        print(f"{contender:18} {runs:32} {images / medians[contender]:9,.0f} {ratio:11.2f} x")
