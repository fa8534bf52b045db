"""Decodes run-length coded BMPs, RLE8 and RLE4, instead of Pillow's own decoder.

Pillow loses the last pixel of an odd number of uncompressed RLE4 pixels, and misaligns rows after a palette
of odd length. OpenCV garbles rows whose length is not a multiple of four pixels.
"""

import io
from typing import Final

import numpy as np
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile

_END_OF_LINE, _END, _DELTA = range(3)
_CODEC: Final = "digitmill_bmp_rle"
_PILLOWS: Final = "bmp_rle"


def decode_runs(data: bytes, width: int, height: int, *, rle4: bool) -> np.ndarray:
    """Return the palette indices, uint8[height, width], in the order of the file: from the bottom up.

    As in other decoders, pixels beyond the end of a row are dropped, and skipped pixels are 0.

    Raises:
        IndexError: when the file ends before the picture.
        ValueError: when the picture ends before its last row.
    """
    pixels = np.zeros((height, width), np.uint8)
    place = row = column = 0
    while row < height:
        count, value = data[place], data[place + 1]
        place += 2
        if count:
            run = np.array([value >> 4, value & 15] if rle4 else [value], np.uint8)
            values = np.resize(run, count)
        elif value == _END_OF_LINE:
            row, column = row + 1, 0
            continue
        elif value == _END:
            if row < height - 1 or column < width:
                raise ValueError("the picture ends before its last row")
            break
        elif value == _DELTA:
            column, row, place = column + data[place], row + data[place + 1], place + 2
            if column > width or row >= height:
                raise ValueError("a jump out of the picture")
            continue
        else:
            values, place = _stored(data, place, value, rle4=rle4)
        pixels[row, column : column + len(values)] = values[: max(0, width - column)]
        column += len(values)
    return pixels


def _stored(data: bytes, place: int, count: int, *, rle4: bool) -> tuple[np.ndarray, int]:
    """Return pixels that are stored as they are, and the place behind them."""
    size = (count + 1) // 2 if rle4 else count
    if place + size > len(data):
        raise IndexError("the file ends before the picture")
    stored = np.frombuffer(data, np.uint8, size, place)
    values = np.stack([stored >> 4, stored & 15], axis=1).ravel()[:count] if rle4 else stored
    return values, place + size + size % 2


class _RunLengthDecoder(ImageFile.PyDecoder):
    """Pillow's interface to `decode_runs`."""

    _pulls_fd = True

    def decode(self, buffer: object) -> tuple[int, int]:
        """Decode the whole picture; return -1, by which Pillow knows that no more bytes are needed."""
        rle4, height, width = bool(self.args[1]), self.state.ysize, self.state.xsize
        if self.fd is None:
            raise OSError("no file")
        pixels = decode_runs(self.fd.read(), width, height, rle4=rle4)
        raw_mode = {"1": "1;8"}.get(self.mode, self.mode)
        self.set_as_raw(pixels.tobytes(), raw_mode, (0, self.args[-1]))
        return -1, 0


def opened(data: bytes) -> Image.Image:
    """Open a BMP without decoding it."""
    image = BmpImageFile(io.BytesIO(data))
    image.tile = [
        tile._replace(codec_name=_CODEC) if tile.codec_name == _PILLOWS else tile for tile in image.tile
    ]
    return image


Image.register_decoder(_CODEC, _RunLengthDecoder)
