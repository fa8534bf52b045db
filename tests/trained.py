"""Bundles that are trained once for all test processes, and for later runs of the same sources."""

import fcntl
import hashlib
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="session")
def trained(pytestconfig: pytest.Config) -> Callable[[str], pathlib.Path]:
    """Returns the run folder of a recipe trained shortly on the sample; nothing in it may be changed."""
    cache = pytestconfig.cache.mkdir("trained")

    def run_folder(recipe: str) -> pathlib.Path:
        folder = cache / f"{recipe}-{_sources_digest()}"
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                unfinished = folder.with_suffix(".unfinished")
                shutil.rmtree(unfinished, ignore_errors=True)
                _train(recipe, unfinished)
                unfinished.rename(folder)
        return folder

    return run_folder


def _train(recipe: str, output: pathlib.Path) -> None:
    """Starts the training job as a cluster starts it."""
    options = ["--recipe", recipe, "--data", "sample", "--epochs", "6", "--output", str(output)]
    command = [sys.executable, "-m", "trainer.task", *options]
    subprocess.run(command, check=True, capture_output=True, timeout=300, cwd=ROOT)


def _sources_digest() -> str:
    """Digest of all that decides what a training writes."""
    digest = hashlib.sha256((ROOT / "constraints.txt").read_bytes())
    for room in ("engines", "imaging", "schemas", "trainer"):
        for path in sorted((ROOT / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
