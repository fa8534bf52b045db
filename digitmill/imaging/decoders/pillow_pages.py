"""Pages of BMP, WebP, AVIF, JPEG 2000 and HEIC, decoded by Pillow.

Pillow raises on truncated and damaged data as long as `ImageFile.LOAD_TRUNCATED_IMAGES` is off, its default.
Sizes and the ends of files, which Pillow does not check, are checked first.
"""

import importlib
import io
from collections.abc import Callable, Mapping
from typing import Final

import cv2
import numpy as np
from PIL import AvifImagePlugin, Image

from digitmill.imaging.decode import upright
from digitmill.imaging.decoders import containers, heif
from digitmill.imaging.decoders.pages import check_count, check_size, reported
from digitmill.imaging.headers.image_kinds import Header, Kind, exif_orientation
from schemas.failure import FailureCode, ImageError

# Parallelism is over images, as with OpenCV.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

Opener = Callable[[bytes], Image.Image]


def _plugin(module: str, name: str) -> Opener:
    """Return the opener of one kind: `Image.open` would try all, and hide why the right one failed."""

    def opened(data: bytes) -> Image.Image:
        opener = getattr(importlib.import_module(f"PIL.{module}"), name)
        image: Image.Image = opener(io.BytesIO(data))
        return image

    return opened


def _bmp(data: bytes) -> Image.Image:
    from digitmill.imaging.decoders import bmp_runs

    return bmp_runs.opened(data)


_OPENERS: Final[Mapping[Kind, Opener]] = {
    Kind.BMP: _bmp,
    Kind.WEBP: _plugin("WebPImagePlugin", "WebPImageFile"),
    Kind.AVIF: _plugin("AvifImagePlugin", "AvifImageFile"),
    Kind.JPEG_2000: _plugin("Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    Kind.HEIC: heif.opened,
}


class PillowPages:
    """The frames of an animation, or the single picture of a file, as displayed."""

    def __init__(self, data: bytes, header: Header) -> None:
        """Open a file.

        Raises:
            ImageError: UNSUPPORTED, TOO_LARGE or CORRUPT.
        """
        self._data, self._header = data, header
        self._image: Image.Image | None = None
        self._failed: tuple[int, ImageError] | None = None
        containers.check(data, header)
        with reported(header.kind):
            frames = int(getattr(self._open(), "n_frames", 1))
        self.count = check_count(header.kind, frames)

    def pixels(self, number: int) -> np.ndarray:
        """Return a frame; see `Pages`. Frames that build on a damaged one are damaged too."""
        if self._failed is not None and number >= self._failed[0]:
            raise self._failed[1]
        try:
            image = self._image or self._open()
            with reported(self._header.kind):
                if getattr(image, "tell", int)() != number:
                    image.seek(number)
                check_size(self._header.kind, *image.size)
                image.load()
                pixels = to_pixels(image)
        except ImageError as error:
            # The decoder's state after an error depends on the frames before; a new one is opened.
            self._image, self._failed = None, (number, error)
            raise
        orientation = self._header.orientation
        if self._header.kind in (Kind.WEBP, Kind.AVIF):
            orientation = exif_orientation(image.info.get("exif") or b"")
        return upright(pixels, orientation)

    def _open(self) -> Image.Image:
        with reported(self._header.kind):
            self._image = _OPENERS[self._header.kind](self._data)
            check_size(self._header.kind, *self._image.size)
        return self._image


def to_pixels(image: Image.Image) -> np.ndarray:
    """Return the pixels of a loaded picture of any mode; see `Pages.pixels`.

    Raises:
        ImageError: UNSUPPORTED for a mode without a conversion to gray or color.
    """
    if image.mode in ("P", "PA", "LA", "La", "RGBa", "RGBA") or "transparency" in image.info:
        opaque = image.mode == "P" and "transparency" not in image.info
        if opaque and image.palette is not None and image.palette.mode == "RGB":
            return cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR)
        return cv2.cvtColor(np.asarray(image.convert("RGBA")), cv2.COLOR_RGBA2BGRA)
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode == "I":
        wide = np.asarray(image)
        if int(wide.min()) >= 0 and int(wide.max()) <= 65535:
            return wide.astype(np.uint16)
    if image.mode in ("RGB", "RGBX", "CMYK", "YCbCr"):
        return cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR)
    raise ImageError(
        FailureCode.UNSUPPORTED,
        f"picture in the color mode {image.mode}, not supported: save it as gray or RGB",
    )
