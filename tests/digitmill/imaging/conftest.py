"""What the tests of imaging share: a net that has seen nothing but plain digits."""

import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from digitmill.engines.engine import LiteRtEngine
from schemas.model.bundle import LITERT_MODEL
from tests.digitmill.imaging.decoders import second_decoders


@pytest.fixture(scope="session")
def classify(trained: Callable[[str], pathlib.Path]) -> Callable[[np.ndarray], np.ndarray]:
    """Return the classes of canonical digits, by a CNN that the training job trained on plain ones."""
    engine = LiteRtEngine((trained("cnn") / "bundle" / LITERT_MODEL).read_bytes())
    return lambda digits: engine.probabilities(digits).argmax(axis=1)


@pytest.fixture(scope="session")
def imagemagick() -> str:
    """The command of ImageMagick; without it the tests that need it are skipped."""
    program = second_decoders.imagemagick()
    if program is None:
        pytest.skip("ImageMagick is missing: run `make tools` as root, or install it")
    return program
