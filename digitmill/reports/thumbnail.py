"""Thumbnails of images, to show next to their canonical digits."""

from typing import Final

import cv2
import numpy as np

from digitmill.imaging.page_reading import Page, pixels_of
from schemas.digit import SIDE
from schemas.failure import ImageError

MIN_CORRELATION: Final = 0.9
"""An image shows no more than its digit if, at the digit's size, they correlate at least this much."""

_THUMBNAIL: Final = 112
"""Longer side of the thumbnail, in pixels."""

_QUALITY: Final = 70


def thumbnail(content: bytes | Page, digit: np.ndarray) -> bytes:
    """Return a WebP thumbnail of an image; empty if it shows no more than its digit, uint8[28, 28]."""
    try:
        pixels = _to_bgr(pixels_of(content))
    except ImageError:
        return b""  # it decoded before, so memory or time ran out; the digit is enough
    if _resembles(pixels, digit):
        return b""
    scale = _THUMBNAIL / max(pixels.shape[:2])
    if scale < 1:
        size = [max(1, round(length * scale)) for length in pixels.shape[1::-1]]
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])[1].tobytes()


def _to_bgr(pixels: np.ndarray) -> np.ndarray:
    """Return decoded pixels as uint8[height, width, 3], with transparency on white."""
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    if pixels.shape[2] == 3:
        return pixels
    opacity = pixels[..., 3:].astype(np.float32) / 255
    return np.round(pixels[..., :3] * opacity + 255 * (1 - opacity)).astype(np.uint8)


def _resembles(pixels: np.ndarray, digit: np.ndarray) -> bool:
    """Whether an image looks like the digit, apart from size and polarity."""
    small = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    if not small.std():
        return False
    correlation = np.corrcoef(small.ravel(), digit.ravel())[0, 1]
    return bool(abs(correlation) >= MIN_CORRELATION)
