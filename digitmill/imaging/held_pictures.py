"""Converts pictures in memory, NumPy arrays and PIL images, to canonical digits."""

import sys
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from digitmill.imaging.canonical import canonicalize
from digitmill.imaging.decode import upright
from digitmill.imaging.limits import MAX_PIXELS
from schemas.failure import FailureCode, ImageError

if TYPE_CHECKING:
    from PIL.Image import Image

_ORIENTATION = 0x0112
"""Tag of EXIF that says how a picture is to be turned."""


def is_pillow(picture: object) -> "TypeGuard[Image]":
    """Whether an object is a PIL image; does not import PIL."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(picture, pillow.Image)


def digit_of(picture: "np.ndarray | Image") -> np.ndarray:
    """Return uint8[28, 28], the canonical digit of a picture.

    Args:
        picture: a PIL image of any mode, or uint8 or uint16 [height, width], [height, width, 1], and
            [height, width, 3 or 4] in the order red, green, blue, opacity.

    Raises:
        ImageError: UNSUPPORTED, EMPTY, TOO_LARGE or CORRUPT if it is not a valid picture, or BLANK.
    """
    pixels = _pixels_of_pillow(picture) if is_pillow(picture) else _pixels_of_array(np.asarray(picture))
    return canonicalize(pixels)


def _pixels_of_array(array: np.ndarray) -> np.ndarray:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if not shaped or array.dtype not in (np.uint8, np.uint16):
        raise ImageError(
            FailureCode.UNSUPPORTED,
            f"an array {array.dtype}{list(array.shape)}; give uint8[height, width], or [height, width, 3] of "
            "red, green, blue",
        )
    if not array.size:
        raise ImageError(FailureCode.EMPTY, f"an array without pixels, {list(array.shape)}")
    _check_size(array.shape[1], array.shape[0])
    if array.ndim == 3:
        array = array[:, :, [2, 1, 0, 3][: array.shape[2]]]
    return np.ascontiguousarray(array)


def _pixels_of_pillow(image: "Image") -> np.ndarray:
    from digitmill.imaging.decoders.pillow_pages import to_pixels

    _check_size(*image.size)
    try:
        image.load()  # one that was opened is read only now
        pixels = to_pixels(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(FailureCode.CORRUPT, f"PIL: {error}") from error
    return upright(pixels, image.getexif().get(_ORIENTATION, 1))


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(
            FailureCode.TOO_LARGE,
            f"a picture of {width:,} x {height:,} pixels; at most {MAX_PIXELS:,} are taken",
        )
    if min(width, height) < 1:
        raise ImageError(FailureCode.EMPTY, f"a picture of {width} x {height} pixels")
