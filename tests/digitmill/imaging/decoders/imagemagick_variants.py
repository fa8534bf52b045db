"""Variants that ImageMagick writes, as the conversion scripts of many users do."""

import itertools
import subprocess
from collections.abc import Iterator

import cv2

from tests.digitmill.imaging.decoders import pictures as p
from tests.digitmill.imaging.decoders.pictures import Variant

FAMILY = "as ImageMagick writes them"
LOSSY = 60

_PICTURES = {"gray": p.GRAY, "RGB": p.COLOR, "RGBA": p.CLEAR, "bilevel": p.INK}
_CONTENTS = {name: cv2.imencode(".png", picture)[1].tobytes() for name, picture in _PICTURES.items()}


def variants(program: str) -> Iterator[Variant]:
    """Yield all of them, by the command of ImageMagick."""
    for kind, name, content, arguments, tolerance in _recipes():
        done = subprocess.run(
            [program, "png:-", *arguments], input=_CONTENTS[content], capture_output=True, check=True
        )
        yield Variant(kind, FAMILY, name, done.stdout, [_PICTURES[content]], tolerance)


def _recipes() -> Iterator[tuple[str, str, str, list[str], float]]:
    """Yield kind, name, picture, arguments and tolerance."""
    yield from _tiff()
    for output, content in itertools.product(("bmp2:-", "bmp3:-", "bmp:-"), ("gray", "RGB", "bilevel")):
        yield "BMP", f"{content} {output}", content, [output], 1.01
        yield "BMP", f"{content} {output} RLE", content, ["-compress", "RLE", output], 1.01
    for interlaced, content in itertools.product(("none", "plane"), ("gray", "RGB", "RGBA", "bilevel")):
        yield "PNG", f"{content} {interlaced}", content, ["-interlace", interlaced, "png:-"], 1.01
    for output in ("png48:-", "png24:-"):
        yield "PNG", output, "RGB", [output], 1.01
    for interlaced in ("none", "line"):
        yield "GIF", interlaced, "gray", ["-interlace", interlaced, "gif:-"], 8
    yield "GIF", "GIF87a", "bilevel", ["gif87:-"], 1.01
    for interlaced, content in itertools.product(("none", "JPEG"), ("gray", "RGB")):
        arguments = ["-interlace", interlaced, "-quality", "95", "jpeg:-"]
        yield "JPEG", f"{content} {interlaced}", content, arguments, LOSSY
    for content in ("RGB", "RGBA"):
        yield "WebP", content, content, ["-define", "webp:lossless=true", "webp:-"], 1.01
    yield from _pnm()
    for output in ("jp2:-", "j2k:-"):
        yield "JPEG 2000", output, "RGB", ["-quality", "100", output], 2


def _tiff() -> Iterator[tuple[str, str, str, list[str], float]]:
    lossless = ("None", "LZW", "Zip", "RLE")
    for compression, content, depth in itertools.product(lossless, ("gray", "RGB", "RGBA"), ("8", "16")):
        arguments = ["-compress", compression, "-depth", depth, "tiff:-"]
        yield "TIFF", f"{content} {depth} {compression}", content, arguments, 1.01
    for compression in ("Group4", "Fax", "LZW", "None"):
        arguments = ["-type", "bilevel", "-compress", compression, "tiff:-"]
        yield "TIFF", f"bilevel {compression}", "bilevel", arguments, 1.01
    layouts = ("tiff:tile-geometry=16x16", "tiff:tile-geometry=32x48", "tiff:rows-per-strip=3")
    for layout, order in itertools.product(layouts, ("MSB", "LSB")):
        arguments = ["-define", layout, "-endian", order, "-compress", "Zip", "tiff:-"]
        yield "TIFF", f"{layout} {order}", "RGB", arguments, 1.01
    yield "TIFF", "32 bits", "gray", ["-depth", "32", "-compress", "None", "tiff:-"], 1.01
    yield "TIFF", "BigTIFF", "RGB", ["-compress", "LZW", "tiff64:-"], 1.01
    yield "TIFF", "pyramid", "RGB", ["ptif:-"], 1.01
    yield "TIFF", "JPEG", "RGB", ["-compress", "JPEG", "-quality", "95", "tiff:-"], LOSSY
    yield "TIFF", "planar", "RGB", ["-interlace", "plane", "-compress", "LZW", "tiff:-"], 1.01


def _pnm() -> Iterator[tuple[str, str, str, list[str], float]]:
    for output, content in (("pbm:-", "bilevel"), ("pgm:-", "gray"), ("ppm:-", "RGB")):
        for plain, depth in itertools.product(("None", "Undefined"), ("8", "16")):
            arguments = ["-compress", plain, "-depth", depth, output]
            yield "PNM", f"{content} {plain} {depth}", content, arguments, 1.01
