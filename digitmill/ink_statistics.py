"""Statistics of the ink of canonical digits, which detect changes that a model's confidence does not show.

A model can be sure of digits that look unlike its training images. These four numbers per image take less
than a microsecond, and respond to thin and thick strokes, blur, and the bars of displays.
"""

from typing import Final

import cv2
import numpy as np

from schemas.digit import SIDE
from schemas.model.ink_counts import INK_BINS, UPPER_BOUNDS, InkCounts

_INK: Final = 127
"""Gray level above which a pixel is ink."""

_ROW_BITS: Final = 32
"""A row of pixels is one number: its bits are the pixels."""

_CHUNK: Final = 4_096


class InkCounter:
    """Counts digits in histograms of their ink statistics."""

    def __init__(self) -> None:
        self._counts = np.zeros((len(UPPER_BOUNDS), INK_BINS), np.int64)

    def add(self, digits: np.ndarray) -> None:
        """Count digits, uint8[N, 28, 28]."""
        for start in range(0, len(digits), _CHUNK):
            measured = measure_ink(digits[start : start + _CHUNK])
            for row, (upper, values) in enumerate(zip(UPPER_BOUNDS.values(), measured, strict=True)):
                bins = np.minimum((values * np.float32(INK_BINS / upper)).astype(np.int64), INK_BINS - 1)
                self._counts[row] += np.bincount(bins, minlength=INK_BINS)

    def counts(self) -> InkCounts:
        """Return the counts so far."""
        return InkCounts(*map(tuple, self._counts.tolist()))


def measure_ink(digits: np.ndarray) -> np.ndarray:
    """Return the statistics of digits' ink.

    Args:
        digits: uint8[N, 28, 28].

    Returns:
        float32[4, N], the measures of `schemas.model.ink_counts.UPPER_BOUNDS` in its order.
    """
    rows = _rows_of_bits(digits)
    area, horizontal = _count_bits(rows), _count_bits(rows[:-1] ^ rows[1:])
    # A row takes 28 of 32 bits, so a shift loses none.
    vertical = _count_bits(rows ^ (rows << np.uint32(1)))
    levels = cv2.reduce(digits.reshape(len(digits), -1), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[:, 0]
    share = levels.astype(np.float32) / np.float32(255 * SIDE * SIDE)
    # Of a long bar, the outline is twice its length: the area over half of it is the width.
    width = 2 * area / np.maximum(horizontal + vertical, 1)
    return np.stack([share, width, horizontal, vertical])


def _rows_of_bits(digits: np.ndarray) -> np.ndarray:
    """Return uint32[28, N]: of each row of each digit, which pixels are ink."""
    ink = np.zeros((len(digits), SIDE, _ROW_BITS), bool)
    np.greater(digits, _INK, out=ink[:, :, :SIDE])
    # NumPy packs whole images eight times as fast as rows.
    packed = np.packbits(ink.reshape(len(digits), -1), axis=1, bitorder="little")
    return np.ascontiguousarray(packed.view("<u4").T)


def _count_bits(rows: np.ndarray) -> np.ndarray:
    return np.bitwise_count(rows).sum(axis=0, dtype=np.float32)
