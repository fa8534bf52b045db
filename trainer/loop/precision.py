"""Mixed precision: layers compute in bfloat16 where the hardware does, weights stay float32."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Final

import keras
import tensorflow as tf

_MIN_COMPUTE_CAPABILITY: Final = (8, 0)
"""First NVIDIA GPUs with bfloat16: Ampere."""

CPUINFO: Final = pathlib.Path("/proc/cpuinfo")
"""Where Linux lists the processor's features."""

_CPU_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16"})


def dtype_policy(precision: str) -> str:
    """Return the Keras dtype policy for a recipe's precision on this machine."""
    return "mixed_bfloat16" if precision == "mixed" and has_bfloat16() else "float32"


def has_bfloat16(cpus: pathlib.Path = CPUINFO) -> bool:
    """Whether all GPUs, or the CPU where there is none, compute in bfloat16 natively."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return not _CPU_FLAGS.isdisjoint(cpuinfo("flags", cpus).split())
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return all(found.get("compute_capability", (0, 0)) >= _MIN_COMPUTE_CAPABILITY for found in details)


def cpuinfo(field: str, file: pathlib.Path = CPUINFO) -> str:
    """Return a field of the first processor that Linux lists; empty if unknown."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith(field)), "").partition(":")[2].strip()


@contextlib.contextmanager
def under_policy(name: str) -> Iterator[None]:
    """Context in which layers are built under a Keras dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
