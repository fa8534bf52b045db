"""The images and models of the benchmarks: real digits as PNG files, and models trained on the sample."""

import dataclasses
import gzip
import pathlib
import shutil
import sys
from collections.abc import Callable
from typing import Final

import cv2
import numpy as np

from benchmarks import process
from benchmarks.contenders import SHIPPED, Model
from digitmill.default_model import SHIPPED_MODEL
from trainer.data.sources import embedded_sample

SHARED: Final = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"
"""Where MNIST's own files may be."""

Writer = Callable[[pathlib.Path, int], None]
"""Writes so many images into a new folder, one sub-folder per label."""

_EPOCHS: Final = 5
_WHOLE: Final = "whole"


@dataclasses.dataclass(frozen=True)
class Workspace:
    """A folder that keeps images and models from one run to the next.

    Attributes:
        folder: where.
    """

    folder: pathlib.Path

    def images(self, count: int, kind: str = "", write: Writer | None = None) -> pathlib.Path:
        """Return a folder of that many images, one sub-folder per label, read once: the file cache is warm.

        They are MNIST's digits as PNG, or of a kind that `write` writes.
        """
        folder = self.folder / f"images-{count}{kind and '-'}{kind.replace(' ', '-').replace(',', '')}"
        if not (self.folder / f"{folder.name}.{_WHOLE}").exists():
            shutil.rmtree(folder, ignore_errors=True)
            (write or write_images)(folder, count)
            (self.folder / f"{folder.name}.{_WHOLE}").touch()
        for path in folder.glob("*/*"):
            path.read_bytes()
        return folder

    def trained(self, model: Model) -> Model:
        """Return the model with its bundle: the shipped one, or one that the training job makes."""
        if model.recipe == SHIPPED:
            return dataclasses.replace(model, bundle=SHIPPED_MODEL)
        run = self.folder / f"model-{model.recipe}"
        if not (run / "bundle" / "model_card.json").exists():
            shutil.rmtree(run, ignore_errors=True)
            train(model.recipe, run)
        return dataclasses.replace(model, bundle=run / "bundle")

    def output(self, name: str) -> pathlib.Path:
        """Return a path for a run's output, free of any earlier one's."""
        path = self.folder / "output" / name
        shutil.rmtree(path, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def train(recipe: str, output: pathlib.Path) -> None:
    """Train briefly on the sample: speed does not depend on what the weights are."""
    options = ["--recipe", recipe, "--data", "sample", "--epochs", _EPOCHS, "--output", output]
    process.run([sys.executable, "-m", "digitmill", "train", *options])


def digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8[count, 28, 28] digits and uint8[count] labels: MNIST's, or the sample's, repeated."""
    if mnist_available():
        images = gzip.decompress((SHARED / "train-images-idx3-ubyte.gz").read_bytes())[16:]
        labels = gzip.decompress((SHARED / "train-labels-idx1-ubyte.gz").read_bytes())[8:]
        return (
            np.frombuffer(images, np.uint8).reshape(-1, 28, 28)[:count],
            np.frombuffer(labels, np.uint8)[:count],
        )
    split = embedded_sample.digits().train
    # The sample is sorted by label; a few of its digits must not all be zeros.
    order = np.random.default_rng(0).permutation(len(split))
    return np.resize(split.images[order], (count, 28, 28)), np.resize(split.labels[order], count)


def source() -> str:
    """Return in words where the digits come from."""
    return "MNIST's training digits" if mnist_available() else "the embedded sample's digits, repeated"


def mnist_available() -> bool:
    """Whether MNIST's own files lie beside the checkout."""
    return (SHARED / "train-images-idx3-ubyte.gz").exists()


def write_images(folder: pathlib.Path, count: int) -> None:
    """Write digits as FOLDER/LABEL/NUMBER.png."""
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
    for number, (image, label) in enumerate(zip(*digits(count), strict=True)):
        target = folder / str(label) / f"{number:06d}.png"
        target.write_bytes(cv2.imencode(".png", image)[1].tobytes())
