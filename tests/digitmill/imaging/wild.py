"""MNIST's own test digits as cameras, scanners and form software would deliver them.

Every picture is made from a digit's number alone, so that it is the same in every run and on every
machine, whatever else is made beside it.
"""

import gzip
import io
import pathlib
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from PIL import Image

Picture = np.ndarray
Maker = Callable[[Picture, np.random.Generator], bytes]


def mnist_digits(folder: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8[N, 28, 28] and labels: MNIST's test digits, from its own files in the folder."""
    images, labels = folder / "t10k-images-idx3-ubyte.gz", folder / "t10k-labels-idx1-ubyte.gz"
    pixels = np.frombuffer(gzip.decompress(images.read_bytes()), np.uint8, offset=16)
    return pixels.reshape(-1, 28, 28), np.frombuffer(gzip.decompress(labels.read_bytes()), np.uint8, offset=8)


def pictures(digits: np.ndarray, makers: dict[str, Maker]) -> Iterator[bytes]:
    """Yield each digit as one kind of file, the kinds in turn."""
    kinds = list(makers.values())
    for number, digit in enumerate(digits):
        yield kinds[number % len(kinds)](digit, np.random.default_rng(number))


def grown(digit: Picture, rng: np.random.Generator, *, smallest: int = 36, largest: int = 300) -> Picture:
    """The digit rescaled and off-center: float32, 0 = paper, 1 = ink."""
    side = round(smallest * (largest / smallest) ** rng.random())
    ink = cv2.resize(digit, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    margins = (rng.uniform(0, 0.7, 4) * side).astype(int)
    return cv2.copyMakeBorder(ink, *margins.tolist(), cv2.BORDER_CONSTANT, value=0)


def paper(shape: tuple[int, ...], rng: np.random.Generator) -> Picture:
    """Gray paper under a lamp from one side, with grain: float32 gray levels."""
    rows, columns = np.linspace(-1, 1, shape[0])[:, None], np.linspace(-1, 1, shape[1])
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 35)
    level = rng.uniform(185, 220) + slope * (np.cos(angle) * rows + np.sin(angle) * columns)
    return (level + rng.normal(0, rng.uniform(1, 6), shape)).astype(np.float32)


def on_paper(ink: Picture, rng: np.random.Generator) -> Picture:
    """Ink of a dark color on that paper: uint8[height, width, 3]."""
    ground = paper(ink.shape, rng)[..., None] * rng.uniform(0.95, 1, 3)
    color = rng.uniform(0, 90, 3)
    return (ground * (1 - ink[..., None]) + color * ink[..., None]).clip(0, 255).astype(np.uint8)


def written(pixels: Picture | Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file, kind, **options)
    return file.getvalue()


def jpeg_scan(digit: Picture, rng: np.random.Generator) -> bytes:
    return written(on_paper(grown(digit, rng), rng), "JPEG", quality=int(rng.integers(60, 95)))


def ink_as_opacity(digit: Picture, rng: np.random.Generator) -> bytes:
    ink = grown(digit, rng)
    pixels = np.empty((*ink.shape, 4), np.uint8)
    pixels[..., :3] = rng.integers(0, 60, 3)
    pixels[..., 3] = ink * 255
    return written(pixels, "PNG")


def deep_png(digit: Picture, rng: np.random.Generator) -> bytes:
    ink = grown(digit, rng)
    return written(((1 - 0.85 * ink) * paper(ink.shape, rng) * 257).clip(0, 65535).astype(np.uint16), "PNG")


def inverted_palette(digit: Picture, rng: np.random.Generator) -> bytes:
    """A light digit on dark, in a palette whose entries are in no order."""
    levels = (grown(digit, rng) * 15 + 0.5).astype(np.uint8)
    order = rng.permutation(16)
    image = Image.fromarray(order.astype(np.uint8)[levels], "P")
    grays = np.empty(16, np.uint8)
    grays[order] = np.arange(16) * 12 + 40
    image.putpalette(np.repeat(grays, 3).tobytes())
    return written(image, "PNG")


def bmp_scan(digit: Picture, rng: np.random.Generator) -> bytes:
    return written(on_paper(grown(digit, rng, largest=120), rng), "BMP")


WILD: dict[str, Maker] = {
    "jpeg": jpeg_scan,
    "opacity": ink_as_opacity,
    "deep": deep_png,
    "palette": inverted_palette,
    "bmp": bmp_scan,
}


def _line(
    ink: Picture, start: tuple[float, float], end: tuple[float, float], rng: np.random.Generator
) -> None:
    width = max(1, round(max(ink.shape) * rng.uniform(0.006, 0.02)))
    points = [(round(x * ink.shape[1]), round(y * ink.shape[0])) for x, y in (start, end)]
    cv2.line(ink, *points, color=float(rng.uniform(0.5, 1)), thickness=width, lineType=cv2.LINE_AA)


def ruled(digit: Picture, rng: np.random.Generator) -> bytes:
    """On ruled paper: one to three lines from edge to edge, nearly level, through the digit too."""
    ink = grown(digit, rng, largest=200)
    first, gap, slant = rng.uniform(0.02, 0.3), rng.uniform(0.3, 0.6), rng.uniform(-0.02, 0.02)
    lines = np.zeros_like(ink)
    for level in np.arange(first, 1, gap):
        _line(lines, (-0.1, level - slant), (1.1, level + slant), rng)
    return written(on_paper(np.maximum(ink, lines), rng), "JPEG", quality=85)


def boxed(digit: Picture, rng: np.random.Generator) -> bytes:
    """In a form's box whose borders run along the picture's edges, one of them perhaps cut off."""
    ink = grown(digit, rng, largest=200)
    lines = np.zeros_like(ink)
    for side in rng.permutation(4)[: rng.integers(2, 5)]:
        inset, slant = rng.uniform(0, 0.05), rng.uniform(-0.01, 0.01)
        place = inset if side % 2 else 1 - inset
        ends = ((-0.1, place - slant), (1.1, place + slant))
        _line(lines, *(ends if side < 2 else tuple((y, x) for x, y in ends)), rng)
    return written(on_paper(np.maximum(ink, lines), rng), "PNG", compress_level=1)


LINED: dict[str, Maker] = {"ruled": ruled, "boxed": boxed}
