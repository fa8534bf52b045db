"""Pictures of a PBM, PGM or PPM file, which may hold several, one after another."""

import io
from typing import Final, NamedTuple

import numpy as np

from digitmill.imaging.decoders.pages import check_count, check_size, reported
from digitmill.imaging.decoders.pillow_pages import to_pixels
from digitmill.imaging.headers.image_kinds import Kind

_HEADER_BYTES: Final = 4096
_BINARY: Final = (b"P4", b"P5", b"P6")


class _Place(NamedTuple):
    start: int
    end: int


class PnmPages:
    """The pictures of a PNM file, decoded by Pillow; its plain variants hold one."""

    def __init__(self, data: bytes) -> None:
        """Find the pictures.

        Raises:
            ImageError: TOO_LARGE or CORRUPT.
        """
        self._data = data
        self._places = [self._picture(0)]
        while data[(end := self._places[-1].end) : end + 2] in _BINARY:
            self._places.append(self._picture(end))
            check_count(Kind.PNM, len(self._places))
        self.count = len(self._places)

    def pixels(self, number: int) -> np.ndarray:
        """Return a picture; see `Pages`."""
        from PIL.PpmImagePlugin import PpmImageFile

        start, end = self._places[number]
        with reported(Kind.PNM):
            image = PpmImageFile(io.BytesIO(self._data[start:end]))
            image.load()
            return to_pixels(image)

    def _picture(self, start: int) -> _Place:
        from PIL.PpmImagePlugin import PpmImageFile

        head = self._data[start : start + _HEADER_BYTES]
        with reported(Kind.PNM):
            image = PpmImageFile(io.BytesIO(head))
            check_size(Kind.PNM, *image.size)
        if head[:2] not in _BINARY:
            return _Place(start, len(self._data))
        (width, height), tile = image.size, image.tile[0]
        row = (width + 7) // 8 if head[:2] == b"P4" else width * (3 if head[:2] == b"P6" else 1)
        return _Place(start, start + tile.offset + height * row * _sample_bytes(tile.codec_name, tile.args))


def _sample_bytes(codec: str, args: object) -> int:
    """Return 1 or 2: Pillow's raw codec is given a mode, its own one the largest value."""
    if codec == "raw":
        return 2 if "16" in str(args) else 1
    return 1 if isinstance(args, tuple) and args[-1] < 256 else 2
