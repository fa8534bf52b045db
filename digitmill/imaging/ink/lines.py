"""Finds ruled lines and borders of form boxes: thin, straight lines from edge to edge of a picture."""

import dataclasses
from typing import Final

import cv2
import numpy as np

_SPAN: Final = 0.8
"""A line runs unbroken over this share of the picture, or over half as much where it begins at the edge.

OpenCV's erosion counts what lies beyond the edge as ink, which suits: slanted borders leave the picture
half-way. Asking for 80 % of those too costs 1.6 points on boxed digits."""

_SLANT: Final = 5
"""Lines may be slanted: ink is made this many pixels higher, which bridges 5 degrees and small gaps."""

_SMALL: Final = 48
"""In pictures whose longer side is less than this, pixels, that would bridge a 0's arcs: not done there."""

_TIGHT: Final = 0.05
"""A digit that comes so near to all four edges, as a share of the picture, is cropped tightly."""

_MOST: Final = 0.9
"""A piece with this share of all ink is the only one; the rest is specks."""

_NARROW: Final = 0.35
"""A picture narrower than this share of its height is a 1 in a tight crop: there is no room for more."""

_THICKEST: Final = 0.08
"""A stroke thicker than this share of the picture's longer side is no line."""

_SMALLEST: Final = 32
"""Side, pixels, below which a line and a stroke look alike."""

_MARGIN: Final = 2
"""Where the ink is thicker than the line by this many pixels, a stroke crosses or touches it."""

_EIGHT: Final = 8
"""Neighbors of a pixel that belong to the same piece of ink."""


@dataclasses.dataclass(frozen=True)
class Lines:
    """Pixels of lines, uint8[height, width], 255 on a line.

    Attributes:
        level: lines that run from left to right.
        upright: lines that run from top to bottom.
    """

    level: np.ndarray
    upright: np.ndarray

    def union(self) -> np.ndarray:
        """Return the pixels of both kinds of lines."""
        return cv2.bitwise_or(self.level, self.upright)


def max_line_thickness(shape: tuple[int, ...]) -> int:
    """Return the maximum thickness of a line in a picture of this shape, in pixels."""
    return max(2, round(_THICKEST * max(shape)))


def is_narrow(picture: np.ndarray) -> bool:
    """Whether a picture [height, width] is so narrow that only a 1 fits."""
    return picture.shape[1] < _NARROW * picture.shape[0]


def _touches_edge(mask: np.ndarray) -> bool:
    """Whether there is ink in the outermost rows or columns."""
    left, top, width, height = cv2.boundingRect(mask)
    return left == 0 or top == 0 or left + width == mask.shape[1] or top + height == mask.shape[0]


def find_lines(mask: np.ndarray) -> Lines | None:
    """Return the lines in uint8[height, width], 255 = ink, without the strokes that cross them."""
    if max(mask.shape) < _SMALLEST or is_narrow(mask) or not _touches_edge(mask):
        return None
    level, upright = _runs(mask), _transposed(_runs(_transposed(mask)))
    if cv2.countNonZero(level) + cv2.countNonZero(upright) == 0:
        return None
    crossings = cv2.bitwise_and(level, upright)
    lines = Lines(
        level=cv2.bitwise_or(_thin(level, mask), crossings),
        upright=cv2.bitwise_or(_transposed(_thin(_transposed(upright), _transposed(mask))), crossings),
    )
    return None if _is_digit(mask, lines) else lines


def _is_digit(mask: np.ndarray, lines: Lines) -> bool:
    """Whether what looks like lines is strokes: of a small digit in a tight crop, or an upright 1."""
    stats = cv2.connectedComponentsWithStats(mask, connectivity=_EIGHT, ltype=cv2.CV_16U)[2][1:]
    left, top, width, height, area = stats[stats[:, 4].argmax()].tolist()
    ink = int(stats[:, 4].sum())
    if area < _MOST * ink:
        return False
    rows, columns = mask.shape
    right, bottom = columns - left - width, rows - top - height
    if max(rows, columns) < _SMALL:
        return max(left, top, right, bottom) <= _TIGHT * max(rows, columns)
    return min(left, right) > 0 and cv2.countNonZero(lines.upright) >= _MOST * ink


def _transposed(mask: np.ndarray) -> np.ndarray:
    return cv2.transpose(mask)


def _runs(mask: np.ndarray) -> np.ndarray:
    """Return the ink in long runs from left to right."""
    wide = mask if max(mask.shape) < _SMALL else cv2.dilate(mask, np.ones((_SLANT, 1), np.uint8))
    span = int(mask.shape[1] * _SPAN) | 1
    long = cv2.morphologyEx(wide, cv2.MORPH_OPEN, np.ones((1, span), np.uint8))
    return cv2.bitwise_and(long, mask)


def _thin(runs: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the runs without the places where strokes make them thicker than they mostly are."""
    thin = np.zeros_like(runs)
    if cv2.countNonZero(runs) == 0:
        return thin
    thickest = max_line_thickness(mask.shape)
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(runs, connectivity=_EIGHT, ltype=cv2.CV_16U)
    for piece, (left, top, width, height, _) in enumerate(stats[1:].tolist(), start=1):
        rows, columns = slice(top, top + height), slice(left, left + width)
        run = cv2.inRange(pieces[rows, columns], piece, piece)
        # In each of its columns a piece has ink.
        thickness = np.sort(cv2.reduce(run, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel() // 255)
        across = int(thickness[(width - 1) // 2] + thickness[width // 2]) // 2 + _MARGIN
        if across <= thickest + _MARGIN:
            above = max(0, top - across)
            strokes = _strokes(mask[above : top + height + across, columns], across)
            thin[rows, columns] |= cv2.subtract(run, strokes[top - above : top - above + height])
    return thin


def _strokes(mask: np.ndarray, across: int) -> np.ndarray:
    """Return the ink that is at least that thick from top to bottom."""
    kernel = np.ones((across, 1), np.uint8)
    # Beyond the edge there is no ink here: borders lie along it, and are thin.
    cores = cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    # OpenCV does not mirror the kernel; an even one would move everything by a pixel.
    return cv2.dilate(cores, kernel, anchor=(0, across - 1 - across // 2))
