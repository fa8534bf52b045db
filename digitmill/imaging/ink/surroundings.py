"""Finds the surroundings of a digit: pieces of a form's frame, a scanner's margin, a neighbor's border."""

from typing import Final, NamedTuple

import cv2
import numpy as np

from digitmill.imaging.ink.lines import is_narrow

_DEPTH: Final = 0.2
"""A piece of a frame lies wholly within this share of the picture's shorter side from the edges."""

_CORNER: Final = 0.1
"""So near to a corner of its bounding box, as a share of it, has a frame's piece ink; a 0 has none there."""

_LONGER: Final = 1.2
"""And is by this factor longer than the digit beside it: the bar of a 5 in a tight crop is not."""

_LONG: Final = 0.6
"""Where there is no digit, a piece along the edge over this share of a side is a frame's."""

_STRAIGHT: Final = 0.92
"""Over this share of a side runs a frame's line; with 0.8, an 8's arcs and sides are taken for one."""

_FULL: Final = 0.6
"""A frame covers at least this share of the picture's width and height."""

_SIDES: Final = 3
"""So many sides of a frame, at least, have lines."""

_TALL: Final = 0.35
"""The digit in a frame is at least this share of its height; the middle bar of a squared 8 is not."""

_PANEL: Final = 0.4
"""A panel covers at least this share of the picture."""

_DARK: Final = 0.2
"""And makes it darker on average by at least this share of all its contrast, which is quick to see."""

_SOLID: Final = 0.93
"""And this share of the least rectangle around it, turned as it may be; a bold 0 covers less."""

_HIGH: Final = 0.1
"""The digit on a panel is at least this share of its height."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom, pixels; the latter two lie outside."""


def lies_along_edges(mask: np.ndarray) -> bool:
    """Whether all ink of uint8[height, width] is as close to the edges as a frame's."""
    return cv2.countNonZero(_inner(mask)) == 0


def frame_pieces(pieces: np.ndarray, stats: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return which pieces of ink belong to a frame, bool[count].

    Such pieces lie along the edges and are longer than the digit. A digit's own stroke along an edge, such as
    the bar of a 5 in a tight crop, is not longer.

    Args:
        pieces: uint16[height, width], each pixel's piece, 0 = paper.
        stats: int32[count, 5], OpenCV's left, top, width, height and area of each piece.
        weight: int[count], amount of ink in each piece; 0 for paper.
    """
    if is_narrow(pieces):
        return np.zeros(len(weight), bool)
    height, width = pieces.shape
    count = len(weight)
    within = cv2.calcHist([_inner(pieces)], [0], None, [count], [0, count]).ravel() > 0
    ink = weight > 0
    along = ~within & ink
    if not along.any():
        return along
    if (within & ink).any():
        least = _LONGER * stats[int(np.where(within, weight, 0).argmax()), 2:4]
    else:
        least = np.array([_LONG * width, _LONG * height])
    long = along & (stats[:, 2:4] >= least).any(axis=1)
    long |= _broken_sides(stats, along, least, (width, height))
    if not (within & ink).any():
        return long & _cornered(pieces, stats, long)
    # Where there is a frame, what else lies along the edges is of it.
    return along if long.any() else long


def _depth(shape: tuple[int, ...]) -> int:
    return round(_DEPTH * min(shape))


def _inner(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape
    depth = _depth(picture.shape)
    return picture[depth : height - depth, depth : width - depth]


def _broken_sides(
    stats: np.ndarray, along: np.ndarray, least: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Return which pieces are of a frame's side that is long enough with its gaps, bool[count]."""
    depth = _depth(size)
    broken = np.zeros(len(stats), bool)
    for axis in (0, 1):
        first, end = stats[:, axis], stats[:, axis] + stats[:, 2 + axis]
        start, stop = stats[:, 1 - axis], stats[:, 1 - axis] + stats[:, 3 - axis]
        for beside in (along & (first < depth), along & (end > size[axis] - depth)):
            if beside.any() and stop[beside].max() - start[beside].min() >= least[1 - axis]:
                broken |= beside
    return broken


class Frame(NamedTuple):
    """The box around all ink, and the box inside the lines along its sides.

    On a side without a line, both boxes end at the ink.
    """

    outer: Box
    inner: Box


def find_frame(ink: np.ndarray) -> Frame | None:
    """Return the frame formed by straight lines along at least three sides of all ink, or None.

    Args:
        ink: uint8[height, width], 255 for ink.
    """
    x, y, width, height = cv2.boundingRect(ink)
    if width < _FULL * ink.shape[1] or height < _FULL * ink.shape[0]:
        return None
    within = ink[y : y + height, x : x + width]
    rows, columns = (
        cv2.reduce(within, axis, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel() >= _STRAIGHT * 255
        for axis in (1, 0)
    )
    if not (rows.any() and columns.any()):
        return None
    before, after = _line_end(columns), _line_end(columns[::-1])
    above, below = _line_end(rows), _line_end(rows[::-1])
    if (before > 0) + (after > 0) + (above > 0) + (below > 0) < _SIDES:
        return None
    outer = x, y, x + width, y + height
    return Frame(outer, (x + before, y + above, x + width - after, y + height - below))


def _line_end(lined: np.ndarray) -> int:
    """Return where the first run of lined rows from the edge ends, 0 if none does in the outer third."""
    outer = lined[: len(lined) // 3]
    first = int(np.append(outer, True).argmax())
    # argmin is 0, too, where nothing is left of the third or the run has no end in it.
    length = int(np.append(outer[first:], True).argmin())
    return first + length if length else 0


def inside_frame(ink: np.ndarray) -> Box | None:
    """Return the box inside a frame, which the digit may touch; None without a frame.

    The content must be tall enough for a digit and, on a side without a line, must not reach as far as the
    frame. This excludes square digits, such as those of seven segments, whose sides look like a frame.

    Args:
        ink: uint8[height, width], 255 for ink, without its blur.
    """
    frame = find_frame(ink)
    if frame is None:
        return None
    left, top, right, bottom = frame.inner
    inside = ink[top:bottom, left:right]
    stats = cv2.connectedComponentsWithStats(inside, connectivity=8, ltype=cv2.CV_16U)[2][1:]
    if not len(stats):
        return None
    x, y, width, height = stats[stats[:, 4].argmax(), :4].tolist()
    reached = x == 0, y == 0, x + width == right - left, y + height == bottom - top
    lined = (here != there for here, there in zip(frame.inner, frame.outer, strict=True))
    if any(reach and not line for reach, line in zip(reached, lined, strict=True)):
        return None
    high = _TALL * (frame.outer[3] - frame.outer[1])
    return frame.inner if height >= high else None


def clear_box(digit: Box, frame: np.ndarray) -> Box:
    """Return the largest box around a digit that is clear of the frame, uint8[height, width], 255 = frame."""
    left, top, right, bottom = digit
    columns = frame[top:bottom].max(axis=0)
    left, right = _clear(columns, left, right)
    rows = frame[:, left:right].max(axis=1)
    top, bottom = _clear(rows, top, bottom)
    return left, top, right, bottom


def _clear(used: np.ndarray, first: int, end: int) -> tuple[int, int]:
    before, after = np.flatnonzero(used[:first]), np.flatnonzero(used[end:])
    # One pixel further in: there the frame's blur ends.
    start = min(first, int(before[-1]) + 2) if before.size else 0
    stop = max(end, end + int(after[0]) - 1) if after.size else len(used)
    return start, stop


def _cornered(pieces: np.ndarray, stats: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Return which of some pieces have ink in at least two corners of their bounding boxes, bool[count]."""
    found = np.zeros(len(stats), bool)
    for piece in np.flatnonzero(which):
        left, top, width, height = stats[piece, :4].tolist()
        ink = pieces[top : top + height, left : left + width] == piece
        rows, columns = max(1, round(_CORNER * height)), max(1, round(_CORNER * width))
        corners = (ink[:rows, :columns], ink[:rows, -columns:], ink[-rows:, :columns], ink[-rows:, -columns:])
        found[piece] = sum(bool(corner.any()) for corner in corners) >= 2
    return found


def may_have_panels(views: np.ndarray) -> np.ndarray:
    """Return which of uint8[N, height, width] are dark enough for `find_panel` to look at, bool[N].

    A few more may be: its mean is rounded in another way.
    """
    flat = views.reshape(len(views), -1)
    darkest, lightest = flat.min(axis=1).astype(np.float64), flat.max(axis=1).astype(np.float64)
    mean = flat.sum(axis=1, dtype=np.int64) / flat.shape[1]
    return lightest - mean >= _DARK * (lightest - darkest) - 1e-6


def find_panel(view: np.ndarray) -> Box | None:
    """Return the dark panel behind a light digit, inside a light frame, as on a meter.

    Args:
        view: uint8[height, width], the frame lighter than the panel.
    """
    darkest, lightest = cv2.minMaxLoc(view)[:2]
    if lightest - cv2.mean(view)[0] < _DARK * (lightest - darkest):
        return None
    dark = cv2.threshold(view, 0, 255, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)[1]
    left, top, width, height = cv2.boundingRect(dark)
    inside = dark[top : top + height, left : left + width]
    if (
        width * height < _PANEL * view.size
        or 2 * cv2.countNonZero(inside) < inside.size
        or inside.size == view.size
    ):
        return None
    contours, tree = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outer = max((c for c, node in zip(contours, tree[0], strict=True) if node[3] < 0), key=cv2.contourArea)
    _, (across, down), _ = cv2.minAreaRect(outer)
    if cv2.contourArea(outer) < _SOLID * across * down or across * down < _PANEL * view.size:
        return None
    holes = [cv2.boundingRect(c) for c, node in zip(contours, tree[0], strict=True) if node[3] >= 0]
    if not any(hole[3] >= _HIGH * height for hole in holes):
        return None
    return left, top, left + width, top + height
