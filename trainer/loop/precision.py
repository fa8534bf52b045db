"""Mixed precision: layers compute in 16 bits if that is faster on this hardware; weights stay float32."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Final

import keras
import tensorflow as tf

_BFLOAT16_CAPABILITY: Final = (8, 0)
"""First NVIDIA GPUs with bfloat16: Ampere."""

_FLOAT16_CAPABILITY: Final = (7, 0)
"""First NVIDIA GPUs whose tensor cores compute in float16: Volta (V100), then Turing (T4)."""

CPUINFO: Final = pathlib.Path("/proc/cpuinfo")
"""Where Linux lists the processor's features."""

_CPU_FLAG: Final = "amx_bf16"
"""AVX512-BF16 alone has the operations too, but a step takes 1.6 times as long as in float32."""


def dtype_policy(precision: str) -> str:
    """Return the Keras dtype policy for a recipe's precision on this machine."""
    return mixed_policy() if precision == "mixed" else "float32"


def mixed_policy(cpus: pathlib.Path = CPUINFO) -> str:
    """Return the Keras dtype policy that is fast on all GPUs, or on the CPU without GPUs."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "mixed_bfloat16" if _CPU_FLAG in cpuinfo("flags", cpus).split() else "float32"
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    capability = min(found.get("compute_capability", (0, 0)) for found in details)
    if capability >= _BFLOAT16_CAPABILITY:
        return "mixed_bfloat16"
    return "mixed_float16" if capability >= _FLOAT16_CAPABILITY else "float32"


def cpuinfo(field: str, file: pathlib.Path = CPUINFO) -> str:
    """Return a field of the first processor that Linux lists; empty if unknown."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith(field)), "").partition(":")[2].strip()


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """Context in which GPUs multiply float32 in full.

    By default NVIDIA's GPUs from Ampere on round operands to 10 bits (TF32), which moves probabilities by
    more than formats of one network may differ. TensorFlow looks at the setting whenever a kernel starts.
    """
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


@contextlib.contextmanager
def under_policy(name: str) -> Iterator[None]:
    """Context in which layers are built under a Keras dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
