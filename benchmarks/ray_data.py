"""What a Ray user writes: `read_images`, `map_batches` with the model in an actor, `write_csv`.

Usage: python -m benchmarks.ray_data IMAGES_FOLDER BUNDLE OUTPUT_FOLDER

Prints the seconds from listing the folder to the last CSV; Ray's own start and the imports of this
process are left out, those of its workers are part of the pipeline. Sources:
https://docs.ray.io/en/latest/data/working-with-images.html and
https://docs.ray.io/en/latest/data/batch_inference.html. The batch is that of the other contenders; Beam
alone chooses its own.
"""

import os
import sys
import time

import numpy as np

BATCH = 1024


class Classifier:
    """An actor that has loaded the model once."""

    def __init__(self, path):
        import keras

        self.model = keras.models.load_model(path)

    def __call__(self, batch):
        probabilities = np.asarray(self.model.predict_on_batch(batch["image"]))
        return {
            "image": batch["path"],
            "digit": probabilities.argmax(axis=1),
            "confidence": probabilities.max(axis=1),
        }


def start(ray, attempts: int = 3) -> None:
    """Start Ray here: its own limit of 30 s cannot be changed, and a busy machine may need more."""
    try:
        ray.init(num_cpus=len(os.sched_getaffinity(0)), include_dashboard=False, log_to_driver=False)
    except Exception as error:
        if attempts == 1 or "timed out during startup" not in str(error):
            raise
        ray.shutdown()
        start(ray, attempts - 1)


def main(images: str, bundle: str, output: str) -> None:
    # Otherwise it reports each start to its makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    start(ray)
    ray.data.DataContext.get_current().enable_progress_bars = False
    started = time.monotonic()
    (
        ray.data.read_images(images, mode="L", include_paths=True)
        .map_batches(
            Classifier,
            fn_constructor_args=(f"{bundle}/model.keras",),
            batch_size=BATCH,
            compute=ray.data.ActorPoolStrategy(size=1),
        )
        .write_csv(output)
    )
    print(time.monotonic() - started)


if __name__ == "__main__":
    main(*sys.argv[1:])
