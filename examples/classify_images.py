"""Counts the digits of a folder by your own Beam pipeline, with what could not be scored beside them.

Usage: python -m examples.classify_images FOLDER BUNDLE
"""

import pathlib
import sys

import apache_beam as beam

from pipelines import ClassifyImages


def main(folder: str, model: str) -> None:
    """Print one line per digit and one per failure code."""
    names = [str(path.absolute()) for path in sorted(pathlib.Path(folder).rglob("*.png"))]
    with beam.Pipeline() as pipeline:
        scored = pipeline | beam.Create(names) | ClassifyImages(model)
        digits = scored.predictions | "Digits" >> beam.Map(lambda prediction: f"digit {prediction.digit}")
        codes = scored.failures | "Codes" >> beam.Map(lambda failure: f"failed {failure.code}")
        counted = (digits, codes) | beam.Flatten() | beam.combiners.Count.PerElement()
        counted | beam.MapTuple(lambda what, images: f"{what}: {images:,}") | beam.Map(print)


if __name__ == "__main__":
    main(*sys.argv[1:])
