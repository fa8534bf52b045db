"""The stock route, as Beam's own documentation recommends it: ReadMatches, RunInference, file sinks.

Usage: python -m benchmarks.stock_beam IMAGES_FOLDER BUNDLE OUTPUT_FOLDER

Prints the pipeline's seconds, the model's loading included, imports left out. Sources:
https://beam.apache.org/documentation/ml/about-ml/ and the `tensorflow_mnist_classification` example of
the Beam repository.
"""

import sys
import time

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.io import fileio
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.ml.inference.tensorflow_inference import TFModelHandlerNumpy
from apache_beam.runners.portability.fn_api_runner import FnApiRunner


def read_image(file):
    pixels = tf.io.decode_png(file.read(), channels=1).numpy()[..., 0]
    return file.metadata.path, pixels


def to_row(keyed):
    path, prediction = keyed
    probabilities = np.asarray(prediction.inference)
    digit = int(probabilities.argmax())
    return path, digit, float(probabilities[digit])


def to_example(row):
    path, digit, confidence = row
    feature = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[path.encode()])),
        "digit": tf.train.Feature(int64_list=tf.train.Int64List(value=[digit])),
        "confidence": tf.train.Feature(float_list=tf.train.FloatList(value=[confidence])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def main(images: str, bundle: str, output: str) -> None:
    handler = KeyedModelHandler(TFModelHandlerNumpy(model_uri=f"{bundle}/model.keras"))
    started = time.monotonic()
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        rows = (
            pipeline
            | fileio.MatchFiles(f"{images}/**")
            | fileio.ReadMatches()
            | beam.Map(read_image)
            | RunInference(handler)
            | beam.Map(to_row)
        )
        _ = rows | beam.Map(to_example) | beam.io.WriteToTFRecord(f"{output}/predictions", num_shards=1)
        _ = (
            rows
            | beam.Map(lambda row: f"{row[0]},{row[1]},{row[2]:.6f}")
            | beam.io.WriteToText(
                f"{output}/predictions",
                file_name_suffix=".csv",
                num_shards=1,
                header="image,digit,confidence",
            )
        )
    print(time.monotonic() - started)


if __name__ == "__main__":
    main(*sys.argv[1:])
