"""What the rooms' tests share: a bundle trained by the real job, and real digits."""

import pathlib
import subprocess
import sys

import cv2
import hypothesis
import numpy as np
import pytest

from engines.bundle import Bundle, open_bundle
from engines.engine import LiteRtEngine
from schemas.bundle import LITERT_MODEL
from trainer.data import sample

# How long examples take to draw depends on what else the machine does; no property is about that.
hypothesis.settings.register_profile(
    "busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy")

pytest_plugins = [
    "tests.gcs_emulator",
    "tests.beam_engines",
    "tests.browser",
    "tests.digit_folders",
    "tests.rest_stand_in",
]


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A bundle that the training job wrote, started as a cluster starts it."""
    output = tmp_path_factory.mktemp("training") / "run"
    command = [
        sys.executable,
        "-m",
        "trainer.task",
        "--recipe",
        "dense-128",
        "--data",
        "sample",
        "--epochs",
        "6",
    ]
    subprocess.run([*command, "--output", str(output)], check=True, capture_output=True, timeout=300)
    return output / "bundle"


@pytest.fixture(scope="session")
def bundle(bundle_path: pathlib.Path) -> Bundle:
    return open_bundle(bundle_path)


@pytest.fixture(scope="session")
def engine(bundle: Bundle) -> LiteRtEngine:
    # The float model: which of the two is the default depends on how the training went.
    return LiteRtEngine((bundle.path / LITERT_MODEL).read_bytes())


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    """uint8[500, 28, 28]: the sample's test split."""
    return sample.digits().test.images


@pytest.fixture(scope="session")
def labels() -> np.ndarray:
    """The labels of `digits`."""
    return sample.digits().test.labels


@pytest.fixture(scope="session")
def png_of() -> object:
    """Returns the bytes of a picture as a PNG."""
    return lambda pixels: cv2.imencode(".png", pixels)[1].tobytes()
