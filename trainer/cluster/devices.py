"""The devices of a training: describes them, and rejects fewer than requested."""

import collections
import os
import pathlib
import re
import subprocess
import sys
from typing import Final

import tensorflow as tf

from digitmill.machine import cpu_count
from digitmill.native_log import LEVEL, quiet_stderr
from schemas.errors import UserError
from trainer.cluster import tf_config

DRIVER: Final = pathlib.Path("/proc/driver/nvidia/version")
"""Where NVIDIA's kernel module says its version."""

_HIDDEN_BY: Final = "CUDA_VISIBLE_DEVICES"
_NO_DEVICES: Final = ("", "-1", "NoDevFiles")
"""Values of that variable that hide all GPUs."""

_LOG_PREFIX: Final = re.compile(r"^(?:[\d-]+ [\d:.]+: )?[IWEF]?\d*[^\]]*\] ")
_ABOUT_GPUS: Final = re.compile(r"cuda|gpu|cuinit|nvidia", re.IGNORECASE)
_DIAGNOSIS_SECONDS: Final = 120


def gpus() -> list[tf.config.PhysicalDevice]:
    """Return the visible GPUs without initializing them."""
    # Without a GPU, TensorFlow logs an error that is none.
    with quiet_stderr():
        return tf.config.list_physical_devices("GPU")


def check_devices(
    replicas: int | None, *, kind: str = "auto", require_gpus: int | None = None, allow_cpu: bool = False
) -> None:
    """Raise UserError if this machine has fewer GPUs than requested.

    If there is none, TensorFlow's messages about it are printed to standard error first.

    Args:
        replicas: the devices of `--replicas`; several are GPUs unless CPUs are allowed.
        kind: `--strategy`; `mirrored` asks for GPUs as well.
        require_gpus: GPUs that this machine must have; None for any number.
        allow_cpu: whether logical CPUs may stand in for the GPUs of `replicas` and `kind`.
    """
    found = len(gpus())
    if require_gpus is not None and found < require_gpus:
        _explain(found)
        raise UserError(
            f"--require-gpus {require_gpus}, but this machine has {found}{_reason(found)}",
            value=_worker() or "this machine",
            hint="repair its driver, choose another machine, or leave the flag out",
        )
    asked = f"--replicas {replicas}" if (replicas or 1) > 1 else "--strategy mirrored"
    if not found and not allow_cpu and (kind == "mirrored" or (replicas or 1) > 1):
        _explain(found)
        raise UserError(
            f"no GPU is visible for {asked}{_reason(found)}",
            value=_worker() or "this machine",
            hint="give --allow-cpu to share the work among logical CPUs, which is no faster",
        )


def describe(strategy: tf.distribute.Strategy) -> str:
    """Return the devices of a strategy on this machine: `8 × NVIDIA H100`, or why there is no GPU."""
    names = [device for device in strategy.extended.worker_devices if "GPU" in device.upper()]
    where = f"{worker}: " if (worker := _worker()) else ""
    if not names:
        count = len(strategy.extended.worker_devices)
        size = f"{count} logical devices" if count > 1 else f"{cpu_count()} cores"
        return f"{where}CPU, {size}: no GPU visible{_reason(0)}"
    # In the order of their numbers; a strategy may have fewer than the machine.
    models = collections.Counter(_model(gpu) for gpu in gpus()[: len(names)])
    return where + ", ".join(f"{count} × {model}" for model, count in models.items())


def _model(gpu: tf.config.PhysicalDevice) -> str:
    return str(tf.config.experimental.get_device_details(gpu).get("device_name", "GPU"))


def _worker() -> str:
    """Return `worker 1 of 2`; empty on a single machine."""
    cluster = tf_config.read(os.environ)
    return f"worker {cluster.index} of {cluster.workers}" if cluster.workers > 1 else ""


def _reason(found: int) -> str:
    """Return why there is no GPU, in brackets; empty where there are some."""
    return "" if found else f" ({missing_gpu_reason()})"


def missing_gpu_reason(driver: pathlib.Path = DRIVER) -> str:
    """Return why no GPU is visible, as far as known."""
    if os.environ.get(_HIDDEN_BY, "0").strip() in _NO_DEVICES:
        return f"hidden by {_HIDDEN_BY}"
    try:
        version = re.search(r"Module.*?(\d+(?:\.\d+)+)", driver.read_text(encoding="utf-8"))
    except OSError:
        return "no NVIDIA driver"
    return f"driver {version[1]}" if version else "driver of unknown version"


def _explain(found: int) -> None:
    """Print what TensorFlow logs about a missing GPU, which this process hides."""
    if found:
        return
    # TensorFlow reads the level once, when it is loaded: only a new process can say it.
    code = "import tensorflow as tf; tf.config.list_physical_devices('GPU')"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {LEVEL: "0"},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_DIAGNOSIS_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return
    lines = (_LOG_PREFIX.sub("", line) for line in done.stderr.splitlines() if _ABOUT_GPUS.search(line))
    for line in dict.fromkeys(lines):
        print(f"TensorFlow: {line}", file=sys.stderr)
