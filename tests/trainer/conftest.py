"""Two logical CPU devices for the whole session, and small data."""

import os
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

from digitmill.native_log import quiet_start
from schemas.digit import NOT_A_DIGIT
from trainer.data.sources import embedded_sample
from trainer.data.splits import Digits, Split


def _start_tensorflow() -> None:
    with quiet_start():
        from trainer.cluster.strategy import make_strategy

        make_strategy(2)


# Before any test starts TensorFlow: the number of devices is fixed from then on.
_start_tensorflow()


@pytest.fixture(scope="session")
def one_replica():
    from trainer.cluster.strategy import make_strategy

    return make_strategy(1)


@pytest.fixture(scope="session")
def two_replicas():
    from trainer.cluster.strategy import make_strategy

    return make_strategy(2)


@pytest.fixture(scope="session")
def few_digits() -> Digits:
    """400 training, 100 validation and 103 test digits of the sample, every class in each."""
    whole = embedded_sample.digits()
    return Digits(
        name="few",
        train=_every(whole.train, 10),
        validation=_every(whole.validation, 5),
        test=whole.test.take(np.linspace(0, 499, 103).astype(int)),
    )


def _every(split: Split, nth: int) -> Split:
    return split.take(np.arange(0, len(split), nth))


@pytest.fixture(scope="session")
def with_not_digits(few_digits: Digits) -> Digits:
    """The few digits, and pictures that are no digit: noise, one for every four, among them."""
    noise = np.random.default_rng(8)

    def with_noise(split: Split) -> Split:
        count = len(split) // 4
        images = np.concatenate([split.images, noise.integers(0, 256, (count, 28, 28)).astype(np.uint8)])
        labels = np.concatenate([split.labels, np.full(count, NOT_A_DIGIT, np.uint8)])
        order = noise.permutation(len(labels))
        return Split(images[order], labels[order])

    parts = {name: with_noise(split) for name, split in few_digits.splits().items()}
    return Digits(name="few and noise", **parts)


@pytest.fixture
def label_folder(tmp_path: pathlib.Path, few_digits: Digits) -> pathlib.Path:
    """The 400 training digits as PNGs, one sub-folder per label."""
    folder = tmp_path / "labeled"
    for number, (image, label) in enumerate(
        zip(few_digits.train.images, few_digits.train.labels, strict=True)
    ):
        file = folder / str(label) / f"{number:03d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return folder


@pytest.fixture(scope="session")
def run_python():
    """Run code in a fresh interpreter from the project's root and return what it printed."""
    root = pathlib.Path(__file__).parents[2]

    def run(code: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(root)}
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
