"""Provenance for the model card: git commit, library versions and hardware."""

import importlib.metadata
import pathlib
import platform
import subprocess

from digitmill import machine
from trainer.loop.precision import cpuinfo

_LIBRARIES = (
    "digitmill",
    "keras",
    "numpy",
    "opencv-python-headless",
    "tensorboard",
    "tensorflow",
    "tensorflow-datasets",
)


def git_commit() -> str:
    """Return the commit of this code, with `-dirty` for a changed checkout; empty outside a checkout."""
    here = pathlib.Path(__file__)
    # An installed copy may lie in another project's checkout, which doesn't track it.
    if not _git("ls-files", "--error-unmatch", here.name, folder=here.parent):
        return ""
    return _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*", folder=here.parent)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed libraries that affect a training."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, str | int]:
    """Return processor, usable CPUs and memory, and GPUs."""
    import tensorflow as tf

    gpus = [
        str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name))
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    return {
        "processor": cpuinfo("model name") or platform.machine(),
        "cores": machine.cpu_count(),
        "memory_gib": round(machine.total_memory() / 2**30),
        "gpus": ", ".join(gpus),
    }


def _git(*arguments: str, folder: pathlib.Path) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
