"""Decodes image files to pixels, for training and scoring alike: PNG and JPEG by OpenCV, others under guard.

Training and scoring must use the same decoder: decoders differ by up to 64 gray levels on transparency and by
9 on JPEG.
"""

from typing import Final

import cv2
import numpy as np

from digitmill.imaging.guard import GUARD
from digitmill.imaging.headers.header import read_header
from digitmill.imaging.headers.image_kinds import UPRIGHT, Header, Kind
from digitmill.imaging.limits import MAX_PIXELS
from digitmill.native_log import without_warnings
from schemas.failure import FailureCode, ImageError

# The decoder's own warnings name no image; a failure's detail does.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
# Parallelism is over images; threads within one would only compete with it.
cv2.setNumThreads(1)

# Without IMREAD_UNCHANGED OpenCV drops transparency, with it the orientation: only JPEG has no
# transparency to lose.
_TURNED_BY_OPENCV: Final = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
# To look up a member of an enumeration takes 0.1 us.
_JPEG: Final = Kind.JPEG

_DEPTHS: Final = "BH"
"""NumPy's letters for 8 and 16 bits, unsigned; comparing types takes 0.2 us longer."""

_NO_MEMORY: Final = -4
"""OpenCV's error code for memory that cannot be allocated."""

_PIXEL_CAP: Final = "CV_IO_MAX_IMAGE"
"""How OpenCV names its limits in the error about a picture that is larger; see `limits.OPENCV_MAX_PIXELS`."""


def decode(data: bytes) -> np.ndarray:
    """Return the pixels of an image file's first page, turned upright.

    Returns:
        uint8 or uint16 array [height, width] of gray, or [height, width, 3 or 4] in the order blue,
        green, red, opacity.

    Raises:
        ImageError: EMPTY, UNSUPPORTED, TOO_LARGE or CORRUPT.
    """
    header = read_header(data)
    if not header.plain:
        return GUARD.pixels(data)
    # libpng's and libjpeg's warnings do not say which image they are about.
    with without_warnings():
        return decode_here(data, header)


def decode_here(data: bytes, header: Header) -> np.ndarray:
    """Decode a PNG or JPEG, or its first frame if it is animated, in this process.

    Raises:
        ImageError: UNSUPPORTED, TOO_LARGE (memory) or CORRUPT.
    """
    kind, orientation = header.kind, header.orientation
    encoded = np.frombuffer(data, np.uint8)
    pixels: np.ndarray | None
    try:
        pixels = cv2.imdecode(encoded, _TURNED_BY_OPENCV if kind is _JPEG else cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise _failure(kind, error) from error
    if pixels is None:
        raise ImageError(FailureCode.CORRUPT, f"a truncated or damaged {kind} of {len(data):,} bytes")
    if pixels.dtype.char not in _DEPTHS:
        raise ImageError(
            FailureCode.UNSUPPORTED,
            f"{kind} with {pixels.dtype} samples, not supported: save it as 8 or 16 bits",
        )
    if header.clear_gray is not None and pixels.ndim == 2:
        pixels = _with_clear_gray(pixels, header)
    return pixels if orientation == UPRIGHT else upright(pixels, orientation)


def _failure(kind: Kind, error: cv2.error) -> ImageError:
    if error.code == _NO_MEMORY:
        return ImageError(FailureCode.TOO_LARGE, f"a {kind} that takes too much memory")
    if _PIXEL_CAP in error.err:
        return ImageError(FailureCode.TOO_LARGE, f"a {kind} of more than {MAX_PIXELS:,} pixels")
    return ImageError(FailureCode.CORRUPT, f"a damaged {kind}: {error.err}")


def _with_clear_gray(pixels: np.ndarray, header: Header) -> np.ndarray:
    # OpenCV applies the transparent color of palettes and colors, and drops that of a gray PNG.
    opaque = int(np.iinfo(pixels.dtype).max)
    clear = int(header.clear_gray or 0)
    if header.depth < 8:
        clear = clear * 255 // (2**header.depth - 1)
    opacity = np.where(pixels == clear, 0, opaque).astype(pixels.dtype)
    return cv2.merge([pixels, pixels, pixels, opacity])


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return a picture turned upright, given its EXIF or TIFF orientation, 1 to 8."""
    if orientation == UPRIGHT:
        return pixels
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
