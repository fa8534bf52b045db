"""Opens a file's pages: pictures of a TIFF, frames of an animation."""

import io
from typing import Protocol

import numpy as np

from digitmill.imaging.headers.image_kinds import Header


class Pages(Protocol):
    """The pictures in a file, decoded one at a time.

    Attributes:
        count: number of pictures, at least 1.
    """

    count: int

    def pixels(self, number: int) -> np.ndarray:
        """Returns a picture, counted from 0, turned upright.

        Returns:
            uint8 or uint16 array [height, width] of grey, or [height, width, 3 or 4] in the order blue,
            green, red, opacity.

        Raises:
            ImageError: UNSUPPORTED, TOO_LARGE or CORRUPT; other pages of the file may be whole.
        """


def open_pages(data: bytes, header: Header) -> Pages:
    """Returns the pages of a file; decodes none of them.

    Raises:
        ImageError: UNSUPPORTED, TOO_LARGE or CORRUPT where not even the pages can be counted.
    """
    return _Present(data, header)


class _Present:
    def __init__(self, data: bytes, header: Header) -> None:
        from PIL import Image

        self._data, self._header = data, header
        try:
            with Image.open(io.BytesIO(data)) as image:
                self.count = getattr(image, "n_frames", 1)
        except OSError:
            self.count = 1

    def pixels(self, number: int) -> np.ndarray:
        import cv2

        from digitmill.imaging.decode import decode_here

        if number == 0:
            return decode_here(self._data, self._header)
        from PIL import Image

        with Image.open(io.BytesIO(self._data)) as image:
            image.seek(number)
            return cv2.cvtColor(np.asarray(image.convert("RGBA")), cv2.COLOR_RGBA2BGRA)
