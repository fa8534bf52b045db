"""Runs a bundle under Beam's own `RunInference`, which brings its metrics and its model refresh.

Usage: python -m examples.run_inference FOLDER BUNDLE
"""

import pathlib
import sys

import apache_beam as beam
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference

from pipelines import BundleModelHandler, ReadDigits


def main(folder: str, model: str) -> None:
    """Print each image's URI, most probable digit and its probability."""
    names = [str(path.absolute()) for path in sorted(pathlib.Path(folder).rglob("*.png"))]
    with beam.Pipeline() as pipeline:
        read = pipeline | beam.Create(names) | ReadDigits()
        results = read.digits | RunInference(KeyedModelHandler(BundleModelHandler(model)))
        (
            results
            | beam.MapTuple(
                lambda uri, result: f"{uri} {result.inference.argmax()} {result.inference.max():.4f}"
            )
            | "Print" >> beam.Map(print)
        )
        read.failures | "Failures" >> beam.Map(lambda failure: print(failure.image, failure.code))


if __name__ == "__main__":
    main(*sys.argv[1:])
