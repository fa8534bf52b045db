"""Prints as JSON which devices there are, and how a bundle's SavedModel runs on them.

Usage: python -m benchmarks.gpu_check.device BUNDLE
"""

import json
import pathlib
import sys
from typing import Any

from digitmill.engines.bundle_loader import open_bundle
from digitmill.native_log import quiet_start
from schemas.model import bundle as names
from trainer.data.sources import embedded_sample


def memory(tf: Any) -> int:
    """Return the bytes of the first GPU that are in use; 0 without a GPU."""
    gpus = tf.config.list_physical_devices("GPU")
    return int(tf.config.experimental.get_memory_info("GPU:0")["current"]) if gpus else 0


def main(place: str) -> None:
    with quiet_start():
        import tensorflow as tf

        from trainer.cluster import devices
        from trainer.cluster.strategy import make_strategy

    digits = embedded_sample.digits().test.images
    saved, litert = (open_bundle(pathlib.Path(place), kind).load() for kind in ("saved_model", "litert"))
    difference = float(abs(saved.probabilities(digits) - litert.probabilities(digits)).max())
    before = memory(tf)
    for _ in range(20):
        saved.probabilities(digits)
    gpus = devices.gpus()
    build = tf.sysconfig.get_build_info()
    found = {
        "devices": devices.describe(make_strategy(None)),
        "gpus": [tf.config.experimental.get_device_details(gpu) for gpu in gpus],
        "driver": devices.missing_gpu_reason(),
        "tensorflow": tf.__version__,
        "cuda": build.get("cuda_version"),
        "cudnn": build.get("cudnn_version"),
        "takes only the memory it needs": all(map(tf.config.experimental.get_memory_growth, gpus)),
        "bytes that 20 more scorings keep": memory(tf) - before,
        "SavedModel and LiteRT differ by": difference,
        "allowed": names.GOLDEN_TOLERANCE,
    }
    print(json.dumps(found, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
