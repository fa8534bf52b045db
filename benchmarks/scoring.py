"""Scores one folder by digitmill, by the stock Beam route and by a loop without Beam, in turns.

Usage: python -m benchmarks.scoring [--images N] [--rounds N]

The images are MNIST's training digits where the project's shared data is at hand, else the embedded
sample's over and over. Every contender is a process of its own and reports its pipeline's seconds,
start-up of the interpreter and imports left out. Medians and ratios are what counts: machines differ.
"""

import argparse
import gzip
import json
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

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


def digitmill(images: pathlib.Path, bundle: pathlib.Path, output: pathlib.Path) -> float:
    command = ["-m", "pipelines.score", "--input", images, "--model", bundle, "--output", output]
    subprocess.run([sys.executable, *map(str, command)], check=True, capture_output=True)
    manifest = json.loads((output / "manifest.json").read_text())
    expected = sum(1 for path in images.rglob("*") if path.is_file())
    if manifest["counts"]["scored"] != expected:
        raise SystemExit(f"{manifest['counts']['scored']:,} rows of {expected:,} images")
    return manifest["times"]["pipeline_seconds"]


def script(module: str, *arguments: pathlib.Path) -> float:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{module} failed:\n{done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


CONTENDERS = {
    "digitmill": digitmill,
    "stock Beam": lambda *paths: script("benchmarks.stock_beam", *paths),
    "loop without Beam": lambda *paths: script("benchmarks.ceiling", *paths),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_images(folder / "images", arguments.images)
        bundle = train(folder / "run")
        seconds: dict[str, list[float]] = {contender: [] for contender in CONTENDERS}
        for turn in range(arguments.rounds):
            for contender, measure in CONTENDERS.items():
                output = folder / f"{contender.replace(' ', '-')}-{turn}"
                seconds[contender].append(measure(folder / "images", bundle, output))
    report(seconds, arguments.images)


def report(seconds: dict[str, list[float]], images: int) -> None:
    medians = {contender: statistics.median(values) for contender, values in seconds.items()}
    print(f"{images:,} images, {platform.machine()}, Python {platform.python_version()}, pipeline time")
    print(f"{'':18} {'seconds: median (all)':32} {'images/s':>9} {'digitmill is':>13}")
    for contender, values in seconds.items():
        runs = f"{medians[contender]:.2f} ({', '.join(f'{value:.2f}' for value in values)})"
        ratio = medians[contender] / medians["digitmill"]
        print(f"{contender:18} {runs:32} {images / medians[contender]:9,.0f} {ratio:11.2f} x")


if __name__ == "__main__":
    main()
