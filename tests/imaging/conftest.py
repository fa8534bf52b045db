"""What the tests of imaging share: a net that has seen nothing but plain digits."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from engines.engine import LiteRtEngine


@pytest.fixture(scope="session")
def classify(tmp_path_factory: pytest.TempPathFactory) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the classes of canonical digits, by a CNN that the training job trains on plain ones."""
    output = tmp_path_factory.mktemp("cnn") / "run"
    command = [sys.executable, "-m", "trainer.task", "--recipe", "cnn", "--data", "sample", "--epochs", "6"]
    subprocess.run([*command, "--output", str(output)], check=True, capture_output=True, timeout=300)
    engine = LiteRtEngine((output / "bundle" / "model.tflite").read_bytes())
    return lambda digits: engine.probabilities(digits).argmax(axis=1)
