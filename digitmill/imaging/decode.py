"""Decodes image files to pixels by OpenCV, for training and scoring alike.

One decoder for both: decoders differ by up to 64 grey levels on transparency and by 9 on JPEG, and a model
would be scored on other pixels than it was trained on.
"""

from typing import Final

import cv2
import numpy as np

from digitmill.imaging.guard import GUARD
from digitmill.imaging.headers.header import read_header
from digitmill.imaging.headers.image_kinds import UPRIGHT, Header, Kind, exif_orientation
from digitmill.imaging.limits import MAX_PIXELS
from digitmill.native_log import without_warnings
from schemas.failure import FailureCode, ImageError

# The decoder's own warnings name no image; a failure's detail does.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
# Parallelism is over images; threads within one would only compete with it.
cv2.setNumThreads(1)

# Without IMREAD_UNCHANGED OpenCV drops transparency, with it the orientation: only JPEG has no
# transparency to lose. TIFF is turned under both.
_TURNED_BY_OPENCV: Final = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
# To look up a member of an enumeration takes 0.1 us.
_JPEG: Final = Kind.JPEG
_TIFF: Final = Kind.TIFF
_WEBP: Final = Kind.WEBP

_DEPTHS: Final = "BH"
"""NumPy's letters for 8 and 16 bits, unsigned; comparing types takes 0.2 us longer."""

_NO_MEMORY: Final = -4
"""OpenCV's error code for memory that cannot be allocated."""

_PIXEL_CAP: Final = "CV_IO_MAX_IMAGE"
"""How OpenCV names its limits in the error about a picture that is larger; see `limits.OPENCV_MAX_PIXELS`."""


def decode(data: bytes) -> np.ndarray:
    """Returns the pixels of a PNG, JPEG, GIF (first frame), BMP, TIFF or WebP file, turned upright.

    Returns:
        uint8 or uint16 array [height, width] of grey, or [height, width, 3 or 4] in the order blue,
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
    """Returns what `decode` returns, but always decodes in this process.

    Raises:
        ImageError: UNSUPPORTED, TOO_LARGE (memory) or CORRUPT.
    """
    kind, orientation = header.kind, header.orientation
    encoded = np.frombuffer(data, np.uint8)
    pixels: np.ndarray | None
    try:
        if kind is _WEBP:
            pixels, orientation = _webp(encoded)
        else:
            pixels = cv2.imdecode(encoded, _TURNED_BY_OPENCV if kind is _JPEG else cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise _failure(kind, error) from error
    if pixels is None:
        raise ImageError(FailureCode.CORRUPT, f"a truncated or damaged {kind} of {len(data):,} bytes")
    if pixels.dtype.char not in _DEPTHS:
        raise ImageError(FailureCode.UNSUPPORTED, f"a {kind} with {pixels.dtype} samples")
    if kind is _TIFF and pixels.ndim == 3 and pixels.shape[2] == 4 and pixels.dtype == np.uint8:
        return _unmultiplied(pixels)
    if header.clear_grey is not None and pixels.ndim == 2:
        pixels = _with_clear_grey(pixels, header)
    return pixels if orientation == UPRIGHT else _upright(pixels, orientation)


def _webp(encoded: np.ndarray) -> tuple[np.ndarray, int]:
    """Returns the pixels and the orientation of EXIF, which OpenCV does not apply where opacity is kept."""
    pixels, kinds, blocks = cv2.imdecodeWithMetadata(encoded, flags=cv2.IMREAD_UNCHANGED)
    exif = [block for kind, block in zip(kinds, blocks, strict=True) if kind == cv2.IMAGE_METADATA_EXIF]
    return pixels, exif_orientation(exif[0].tobytes()) if exif else UPRIGHT


def _failure(kind: Kind, error: cv2.error) -> ImageError:
    if error.code == _NO_MEMORY:
        return ImageError(FailureCode.TOO_LARGE, f"a {kind} that takes too much memory")
    if _PIXEL_CAP in error.err:
        return ImageError(FailureCode.TOO_LARGE, f"a {kind} of more than {MAX_PIXELS:,} pixels")
    return ImageError(FailureCode.CORRUPT, f"a damaged {kind}: {error.err}")


def _unmultiplied(pixels: np.ndarray) -> np.ndarray:
    # libtiff returns 8-bit colours multiplied by their opacity; other decoders do not.
    opacity = pixels[..., 3:].astype(np.float32)
    colour = pixels[..., :3] * (255 / np.maximum(opacity, 1))
    return np.dstack([np.round(colour).clip(0, 255).astype(np.uint8), pixels[..., 3]])


def _with_clear_grey(pixels: np.ndarray, header: Header) -> np.ndarray:
    # OpenCV applies the transparent colour of palettes and colours, and drops that of a grey PNG.
    opaque = int(np.iinfo(pixels.dtype).max)
    clear = int(header.clear_grey or 0)
    if header.depth < 8:
        clear = clear * 255 // (2**header.depth - 1)
    opacity = np.where(pixels == clear, 0, opaque).astype(pixels.dtype)
    return cv2.merge([pixels, pixels, pixels, opacity])


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
