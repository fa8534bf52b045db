"""Decodes a page by another library than the one that scoring uses, for comparison.

A canvas is float32[height, width, 4] from 0 to 255: blue, green and red multiplied by opacity, and opacity.
Colors behind full transparency do not count: encoders leave anything there.
"""

import io
import os
import shutil
import subprocess
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageOps

from digitmill.imaging.decoders.tiff_samples import scale_wide

Decoder = Callable[[bytes, int], np.ndarray | None]
"""Takes a file and a page's number; returns a canvas, or None where it cannot decode the page."""


def canvas(pixels: np.ndarray) -> np.ndarray:
    """Return pixels as `Pages.pixels` describes them as a canvas."""
    scaled = pixels.astype(np.float32)
    if pixels.dtype == np.uint16:
        scaled /= np.float32(257)
    if scaled.ndim == 2:
        scaled = np.dstack([scaled] * 3)
    if scaled.shape[2] == 3:
        return np.dstack([scaled, np.full(scaled.shape[:2], 255, np.float32)])
    return np.dstack([scaled[..., :3] * (scaled[..., 3:] / 255), scaled[..., 3]])


def by_opencv(data: bytes, page: int) -> np.ndarray | None:
    """Decode by OpenCV; its 8-bit TIFFs with opacity come multiplied by it, others as stored."""
    try:
        pixels = _opencv_page(np.frombuffer(data, np.uint8), page, turned=data.startswith(b"\xff\xd8"))
    except (cv2.error, SystemError):
        return None
    if pixels is None or pixels.dtype.kind not in "fiu" or pixels.shape[2:] == (2,):
        return None
    if pixels.dtype not in (np.uint8, np.uint16):
        pixels = np.dstack(scale_wide([pixels] if pixels.ndim == 2 else list(cv2.split(pixels))))
        pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    if data[:2] in (b"II", b"MM") and pixels.dtype == np.uint8 and pixels.shape[2:] == (4,):
        return pixels.astype(np.float32)
    return canvas(pixels)


def _opencv_page(encoded: np.ndarray, page: int, *, turned: bool) -> np.ndarray | None:
    if page == 0:
        return cv2.imdecode(
            encoded, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH if turned else cv2.IMREAD_UNCHANGED
        )
    if bytes(encoded[:2]) in (b"II", b"MM"):
        pages = cv2.imdecodemulti(encoded, cv2.IMREAD_UNCHANGED)[1]
    else:
        pages = cv2.imdecodeanimation(encoded)[1].frames
    return pages[page] if page < len(pages) else None


def by_pillow(data: bytes, page: int) -> np.ndarray | None:
    """Decode by Pillow."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.seek(page)
            image.load()
            upright = ImageOps.exif_transpose(image)
    except Exception:  # Pillow raises nearly anything over a damaged file
        return None
    if upright.mode == "F" or (upright.mode == "I" and image.format == "TIFF"):
        return canvas(scale_wide([np.asarray(upright)])[0])
    if upright.mode.startswith("I"):
        return canvas(np.asarray(upright).astype(np.uint16))
    if upright.mode in ("LAB", "HSV"):
        return None
    rgba = np.asarray(upright.convert("RGBA"))
    return canvas(cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA))


def imagemagick() -> str | None:
    """Return the command of ImageMagick, if it is installed; other programs are called `convert` too."""
    for name in ("magick", "convert-im6.q16", "convert"):
        program = shutil.which(name)
        if program is not None:
            about = subprocess.run([program, "-version"], capture_output=True, check=False)
            if b"ImageMagick" in about.stdout:
                return program
    return None


def by_imagemagick(data: bytes, page: int) -> np.ndarray | None:
    """Decode by ImageMagick, to 16 bits."""
    program = imagemagick()
    if program is None:
        return None
    arguments = [program, f"-[{page}]", "-auto-orient", "-alpha", "on", "-depth", "16", "pam:-"]
    done = subprocess.run(arguments, input=data, capture_output=True, check=False, env=dict(os.environ))
    if done.returncode or b"ENDHDR\n" not in done.stdout:
        return None
    head, _, body = done.stdout.partition(b"ENDHDR\n")
    fields = dict(line.split(b" ", 1) for line in head.splitlines()[1:] if b" " in line)
    height, width, depth = (int(fields[name]) for name in (b"HEIGHT", b"WIDTH", b"DEPTH"))
    samples = np.frombuffer(body, ">u2").astype(np.uint16).reshape(height, width, depth)
    if depth == 2:
        samples = samples[..., [0, 0, 0, 1]]
    return canvas(samples[..., [2, 1, 0, 3]])


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference of two canvases, in levels of 0 to 255; infinite if sizes differ."""
    return float("inf") if one.shape != other.shape else float(np.abs(one - other).max())
