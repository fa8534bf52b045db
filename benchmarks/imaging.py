"""Decodes and canonicalises digits of several sizes, beside Pillow doing as much as is usual, in turns.

Usage: python -m benchmarks.imaging [--images N] [--rounds N]

What is usual: open, convert to grey, invert where the corners are light, shrink to 28 x 28. That is no
canonical digit: it neither finds nor crops nor centres the ink. Medians of microseconds an image on one
thread, and ratios of what was measured in one run, are what counts: machines differ.
"""

import argparse
import io
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from digitmill.imaging.batch import decode_batch
from digitmill.imaging.canonical import canonicalise
from digitmill.imaging.decode import decode
from trainer.data.sources import embedded_sample

SIDES = (28, 64, 200, 1000)


def page(digit: np.ndarray, side: int) -> np.ndarray:
    """The digit in dark ink, off-centre on light paper with some grain; at 28 the digit as it is."""
    if side == 28:
        return digit
    ink = cv2.resize(np.pad(digit, ((4, 12), (11, 5))), (side, side), interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(int(digit.sum())).normal(0, 2, ink.shape)
    return (235 - 0.8 * ink + grain).clip(0, 255).astype(np.uint8)


def digitmill(files: list[bytes]) -> np.ndarray:
    return decode_batch(files, len(files)).digits


def pillow(files: list[bytes]) -> np.ndarray:
    digits = np.empty((len(files), 28, 28), np.uint8)
    for slot, data in enumerate(files):
        with Image.open(io.BytesIO(data)) as image:
            grey = image.convert("L")
        corners = np.asarray(grey.crop((0, 0, grey.width, 1)))
        small = np.asarray(grey.resize((28, 28), Image.Resampling.BOX) if grey.width > 28 else grey)
        digits[slot] = 255 - small if corners.mean() > 127 else small
    return digits


def microseconds(work: Callable[[list], object], inputs: list) -> float:
    start = time.perf_counter()
    work(inputs)
    return (time.perf_counter() - start) / len(inputs) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    digits = embedded_sample.digits().test.images[: arguments.images]
    print(f"{'side':>5} {'kind':>5} {'digitmill':>10} {'canonicalise alone':>19} {'Pillow':>8} {'ratio':>6}")
    for side in SIDES:
        pages = [page(digit, side) for digit in (digits if side < 500 else digits[:25])]
        for kind in ("png", "jpg", "tiff"):
            files = [cv2.imencode(f".{kind}", picture)[1].tobytes() for picture in pages]
            pictures = [decode(data) for data in files]
            contenders = {
                "digitmill": (digitmill, files),
                "alone": (lambda many: [canonicalise(picture) for picture in many], pictures),
                "Pillow": (pillow, files),
            }
            seen: dict[str, list[float]] = {name: [] for name in contenders}
            for _ in range(arguments.rounds):
                for name, (work, inputs) in contenders.items():
                    seen[name].append(microseconds(work, inputs))
            ours, alone, theirs = (statistics.median(seen[name]) for name in contenders)
            print(f"{side:>5} {kind:>5} {ours:>10.1f} {alone:>19.1f} {theirs:>8.1f} {theirs / ours:>6.2f}")


if __name__ == "__main__":
    main()
