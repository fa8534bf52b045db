"""Bundles that are trained once for all test processes, and for later runs of the same sources."""

import fcntl
import functools
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="session")
def trained(pytestconfig: pytest.Config) -> Callable[[str], pathlib.Path]:
    """Return the run folder of a recipe trained shortly on the sample; nothing in it may be changed."""
    cache = pytestconfig.cache.mkdir("trained")

    def run_folder(recipe: str) -> pathlib.Path:
        folder = cache / f"{recipe}-{_sources_digest()}"
        with (cache / f"{recipe}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                for old in cache.glob(f"{recipe}-*/"):
                    shutil.rmtree(old)
                # A new name: the training of a test process that was killed may still be at work.
                unfinished = pathlib.Path(tempfile.mkdtemp(dir=cache)) / "run"
                _train(recipe, unfinished)
                unfinished.rename(folder)
                unfinished.parent.rmdir()
        return folder

    return run_folder


def _train(recipe: str, output: pathlib.Path) -> None:
    """Start the training job as a cluster starts it."""
    options = ["--recipe", recipe, "--data", "sample", "--epochs", "6", "--output", str(output)]
    command = [sys.executable, "-m", "trainer.task", *options]
    subprocess.run(command, check=True, capture_output=True, timeout=300, cwd=ROOT)


@functools.cache
def _sources_digest() -> str:
    """Digest of all that decides what a training writes."""
    limits = {name: os.environ.get(name) for name in ("ONEDNN_MAX_CPU_ISA", "TF_ENABLE_ONEDNN_OPTS")}
    digest = hashlib.sha256(f"{sys.version} {limits}".encode())
    rooms = ("digitmill", "schemas", "trainer")
    sources = (path for room in rooms for path in (ROOT / room).rglob("*") if path.suffix != ".pyc")
    for path in (
        pathlib.Path(__file__),
        ROOT / "constraints.txt",
        *sorted(filter(pathlib.Path.is_file, sources)),
    ):
        digest.update(f"{path.relative_to(ROOT)}".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
