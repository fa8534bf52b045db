"""Measures bundles on MNIST's test digits as they are, and as scans, photographs and forms show them.

Usage: python -m benchmarks.robustness BUNDLE [BUNDLE ...]

The pictures are those of the imaging tests (`tests/digitmill/imaging/wild.py`), made of the same test digits
(the embedded sample's where MNIST is not beside the project) and read as any input is. An image that cannot
be read counts as wrong. What counts is the loss: points of accuracy between the digits as they are and as
they were found.
"""

import argparse
import pathlib

import numpy as np

from benchmarks.setting import SHARED, mnist_available
from digitmill.engines.bundle_loader import open_bundle
from digitmill.imaging.batch import decode_batch
from tests.digitmill.imaging import wild
from trainer.data.sources import embedded_sample

KINDS = {"wild": wild.WILD, "lined": wild.LINED}


def pictured(digits: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns uint8[N, 28, 28] digits as they are found in pictures of them, and bool[N]: which are."""
    found = decode_batch(wild.pictures(digits, KINDS[kind]), len(digits))
    return found.digits, np.array([error is None for error in found.errors])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="+", type=pathlib.Path)
    bundles = parser.parse_args().bundles
    test = embedded_sample.digits().test
    images, labels = wild.mnist_digits(SHARED) if mnist_available() else (test.images, test.labels)
    found = {kind: pictured(images, kind) for kind in KINDS}
    print(f"{'native':>8} " + " ".join(f"{kind:>8} {'loss':>6} {'unread':>6}" for kind in KINDS))
    for place in bundles:
        engine = open_bundle(place).load()
        native = float(np.mean(engine.probabilities(images).argmax(axis=1) == labels))
        line = f"{native:8.2%} "
        for digits, read in found.values():
            right = float(np.mean((engine.probabilities(digits).argmax(axis=1) == labels) & read))
            line += f" {right:8.2%} {100 * (native - right):6.2f} {np.count_nonzero(~read):6,}"
        print(line, place)


if __name__ == "__main__":
    main()
