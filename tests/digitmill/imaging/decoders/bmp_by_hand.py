"""Writes BMPs of layouts that libraries do not write: run lengths, 16 bits, old and new headers."""

import struct
from collections.abc import Sequence

import numpy as np

RAW, RLE8, RLE4, BITFIELDS = range(4)
_HEADERS = {40: 0, 52: 12, 56: 16, 108: 68, 124: 84}
"""Sizes of headers, and how many of their bytes follow the first 40."""


def bmp(
    rows: bytes,
    width: int,
    height: int,
    bits: int,
    *,
    compression: int = RAW,
    header: int = 40,
    palette: bytes = b"",
    masks: Sequence[int] = (),
) -> bytes:
    """Return a BMP around rows of pixels, which stand from the bottom up if the height is positive."""
    if header == 12:
        head = struct.pack("<IHHHH", header, width, height, 1, bits)
        palette = b"".join(palette[place : place + 3] for place in range(0, len(palette), 4))
    else:
        head = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, compression, len(rows), 0, 0, 0, 0)
        colors = struct.pack(f"<{len(masks)}I", *masks)
        # A small header is followed by masks; a larger one holds them.
        head += colors if header == 40 else colors.ljust(_HEADERS[header], b"\0")
    first = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", first + len(rows), 0, 0, first) + head + palette + rows


def padded(row: bytes) -> bytes:
    """Return a row filled up to a multiple of four bytes."""
    return row + bytes(-len(row) % 4)


def uncompressed(indices: np.ndarray, bits: int) -> bytes:
    """Return rows of palette indices from the bottom up."""
    places = np.arange(bits - 1, -1, -1, dtype=np.uint8)
    ones = ((indices[..., None] >> places) & 1).reshape(len(indices), -1)
    return b"".join(padded(np.packbits(row).tobytes()) for row in ones[::-1])


def run_lengths(indices: np.ndarray, bits: int) -> bytes:
    """Return rows as runs and, where three or more pixels differ, as they are; from the bottom up."""
    lines = []
    for row in indices[::-1]:
        line, place = b"", 0
        while place < len(row):
            run = place + 1
            while run < len(row) and row[run] == row[place] and run - place < 255:
                run += 1
            if run - place >= 3 or len(row) - place < 3:
                value = int(row[place])
                line += bytes([run - place, value if bits == 8 else value << 4 | value])
                place = run
            else:
                literal = row[place : place + 5]
                line += b"\0" + bytes([len(literal)]) + _literal(literal, bits) if len(literal) >= 3 else b""
                place += len(literal)
        lines.append(line + b"\0\0")
    return b"".join(lines) + b"\0\1"


def _literal(values: np.ndarray, bits: int) -> bytes:
    if bits == 4:
        even = np.append(values, [0] * (len(values) % 2)).astype(np.uint8)
        values = even[::2] << 4 | even[1::2]
    body = values.astype(np.uint8).tobytes()
    return body + bytes(len(body) % 2)


def high_color(picture: np.ndarray, green_bits: int) -> tuple[bytes, np.ndarray]:
    """Return rows of 16-bit pixels from the bottom up, and the picture that is left, blue, green, red."""
    depths = (5, green_bits, 5)
    levels = [
        np.rint(picture[..., c].astype(float) * (2**d - 1) / 255).astype(np.uint16)
        for c, d in enumerate(depths)
    ]
    values = levels[0] | levels[1] << 5 | levels[2] << (5 + green_bits)
    rows = b"".join(padded(row.astype("<u2").tobytes()) for row in values[::-1])
    left = [
        np.rint(level * (255 / (2**d - 1))).astype(np.uint8) for level, d in zip(levels, depths, strict=True)
    ]
    return rows, np.dstack(left)
