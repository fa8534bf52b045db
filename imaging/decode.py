"""Decodes image bytes to pixels: OpenCV, once, for training and scoring alike.

One decoder on both sides, because decoders differ by up to 64 grey levels on transparency and by 9
on JPEG, and that would be a difference between what a model learnt and what it is shown.
"""

import io
from typing import Final

import cv2
import numpy as np

from imaging.errors import ImageError
from imaging.header import Kind, check_header
from schemas.failure import FailureCode

# The decoder's own warnings name no image; a failure's detail does.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
# Parallelism is over images; threads within one would only compete with it.
cv2.setNumThreads(1)

# Without IMREAD_UNCHANGED OpenCV drops transparency, with it the orientation: only JPEG has no
# transparency to lose. TIFF is turned under both.
_TURNED_BY_OPENCV: Final = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
_EXIF_MARK: Final = {Kind.PNG: b"eXIf", Kind.WEBP: b"EXIF"}
_EXIF_ORIENTATION: Final = 0x0112


def decode(data: bytes) -> np.ndarray:
    """Returns an image's pixels as stored, turned upright.

    Args:
        data: a whole file: PNG, JPEG, GIF (first frame), BMP, TIFF or WebP.

    Returns:
        uint8 or uint16 array [height, width] of grey, or [height, width, 3 or 4] in the order blue,
        green, red, opacity.

    Raises:
        ImageError: EMPTY, UNSUPPORTED, TOO_LARGE or CORRUPT.
    """
    kind = check_header(data)
    flags = _TURNED_BY_OPENCV if kind is Kind.JPEG else cv2.IMREAD_UNCHANGED
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ImageError(FailureCode.CORRUPT, f"a damaged {kind}: {error.err}") from error
    if pixels is None:
        raise ImageError(FailureCode.CORRUPT, f"a truncated or damaged {kind} of {len(data):,} bytes")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError(FailureCode.UNSUPPORTED, f"a {kind} with {pixels.dtype} samples")
    if kind is Kind.TIFF and pixels.ndim == 3 and pixels.shape[2] == 4 and pixels.dtype == np.uint8:
        pixels = _unmultiplied(pixels)
    mark = _EXIF_MARK.get(kind)
    return _upright(pixels, data) if mark is not None and mark in data else pixels


def _unmultiplied(pixels: np.ndarray) -> np.ndarray:
    # libtiff hands out 8-bit colours multiplied by their opacity; every other kind does not.
    opacity = pixels[..., 3:].astype(np.float32)
    colour = pixels[..., :3] * (255 / np.maximum(opacity, 1))
    return np.dstack([np.round(colour).clip(0, 255).astype(np.uint8), pixels[..., 3]])


def _upright(pixels: np.ndarray, data: bytes) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(FailureCode.CORRUPT, f"unreadable EXIF data: {error}") from error
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
