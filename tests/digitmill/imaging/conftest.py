"""What the tests of imaging share: a net that has seen nothing but plain digits."""

import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from digitmill.engines.engine import LiteRtEngine
from schemas.model.bundle import LITERT_MODEL


@pytest.fixture(scope="session")
def classify(trained: Callable[[str], pathlib.Path]) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the classes of canonical digits, by a CNN that the training job trained on plain ones."""
    engine = LiteRtEngine((trained("cnn") / "bundle" / LITERT_MODEL).read_bytes())
    return lambda digits: engine.probabilities(digits).argmax(axis=1)
