"""Turns a picture of one digit on paper into the canonical digit, a picture like MNIST's.

First it removes what a camera or a form adds: transparency, depth, polarity, uneven light, ruled lines,
boxes, frames, margins and specks; inside a frame it repeats the search. Then it treats the digit as MNIST's
makers treated their scans: crop, fit into 20 x 20, center by mass.

It does not remove the edge of a hard shadow, which counts as ink (with half the light, two of three digits
are read right), or strips deeper than a fifth of the picture.

It does not correct slight rotation: MNIST's digits are slanted themselves, and canonical digits pass
unchanged, so straightening would give models two kinds of digits. A CNN trained on plain MNIST loses 0.2
points at 3 degrees, 0.35 at 5 and 0.6 at 8 (straightened by moments: 0.0, 0.1 and 0.3, at 15 us per image);
training with rotated copies recovers this.

Measured with a CNN of 99.35 % on MNIST's 10,000 test digits: scans of five kinds lose 0.08 points, ruled
ones 0.4, boxed ones 0.2. The same digits shrunk to 20 px lose 1 point, to 12 px 5, to 8 px 29.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np

from digitmill.imaging.gray import image_pyramid, shrink, strongest_channel, to_gray
from digitmill.imaging.ink.lines import Lines, find_lines, max_line_thickness
from digitmill.imaging.ink.paper import FeaturelessError, Ink, estimate_lighting, find_ink
from digitmill.imaging.ink.papers import estimate_lightings, find_inks
from digitmill.imaging.ink.surroundings import (
    Box,
    clear_box,
    find_frame,
    find_panel,
    frame_pieces,
    inside_frame,
    lies_along_edges,
    may_have_panels,
)
from digitmill.imaging.native import are_native, is_native
from schemas.digit import BOX, SIDE
from schemas.failure import FailureCode, ImageError

PREPROCESSING_VERSION: Final = "4"
"""Must change whenever the canonical digit of any image changes; part of a scored image's identity."""

_VIEW: Final = 64
"""Ink is looked for in the picture shrunk to this side: three times the size of what comes out."""

_LINED_VIEW: Final = 96
"""The same where lines cross the digit, which takes more detail."""

_WIDEST: Final = 6
"""The view of a wide sheet is larger by up to this factor."""

_CLOSE: Final = 40
"""The digit is taken from the smallest halving of the picture in which it is this large: twice the box."""

_PIECE: Final = 0.04
"""A piece of ink with less than this share of the largest piece's ink is a speck."""

_SPECK: Final = 1000
"""So is a piece of less than one in this many pixels, however large others are."""

_EDGE: Final = 0.25
"""The digit ends where it is this share as dark as at its darkest; measured: 0.2 to 0.3 lose least."""

_CORES: Final = (0.25, 0.4, 0.55)
"""Ink of more than this share of the contrast is without its blur, which joins a digit to its frame."""

_NEAR: Final = np.ones((3, 3), np.uint8)
"""A pixel and its neighbors."""

_SEVERAL: Final = 4
"""Fewer pictures share nothing that would save time."""

_LOOKS: Final = 3
"""So often is a digit looked for again, each time within the frame found before."""


def canonicalize(pixels: np.ndarray) -> np.ndarray:
    """Return the canonical digit of a picture.

    Args:
        pixels: uint8 or uint16 [height, width], [height, width, 3] or [height, width, 4] in the
            order blue, green, red, opacity.

    Returns:
        uint8[28, 28], 0 = paper, 255 = ink, at least one pixel of ink. A picture that already is
        canonical comes back byte for byte.

    Raises:
        ImageError: BLANK when nothing but lines and specks stands out from the paper.
    """
    gray = to_gray(pixels)
    if gray.shape == (SIDE, SIDE):
        for polarity in (gray, cv2.bitwise_not(gray)):
            if is_native(polarity):
                return polarity
    try:
        return _digit(gray)
    except FeaturelessError:
        if pixels.ndim == 2:
            raise
        return _digit(strongest_channel(pixels))


def canonicalize_alike(pictures: Sequence[np.ndarray]) -> list[np.ndarray | ImageError]:
    """Return for each picture what `canonicalize` returns or raises, byte for byte, but faster.

    Args:
        pictures: of one shape and depth.
    """
    digits: dict[int, np.ndarray] = {}
    if len(pictures) >= _SEVERAL:
        grays = np.stack([to_gray(picture) for picture in pictures])
        digits = dict(_natives(grays)) if grays.shape[1:] == (SIDE, SIDE) else {}
        left = np.delete(np.arange(len(grays)), list(digits))
        digits.update(_digits_alike(grays, left))
    return [digits[slot] if slot in digits else _outcome(picture) for slot, picture in enumerate(pictures)]


def _outcome(pixels: np.ndarray) -> np.ndarray | ImageError:
    try:
        return canonicalize(pixels)
    except ImageError as error:
        return error


def _natives(grays: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield place and digit of the pictures that are canonical digits in one of their polarities."""
    for polarity in (~grays, grays):
        yield from ((place, polarity[place]) for place in np.flatnonzero(are_native(polarity)).tolist())


def _digits_alike(
    grays: np.ndarray, slots: np.ndarray, *, invert: bool = False
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield slot and digit of the pictures whose ink and paper differ clearly at first sight."""
    if not slots.size:
        return
    side = _view_side(grays.shape[1:])
    shown = ~grays[slots] if invert else grays[slots]  # OpenCV would take the columns for channels
    levels = [image_pyramid(gray, side) for gray in shown]
    views = shown if max(shown.shape[1:]) <= side else np.stack([shrink(each[-1], side) for each in levels])
    lightings = estimate_lightings(views)
    light = np.flatnonzero(lightings.light_ink > 0)
    if light.size and not invert:
        # Each polarity by itself: nothing is looked for in the wrong one.
        yield from _digits_alike(grays, slots[light], invert=True)
        yield from _digits_alike(grays, np.delete(slots, light))
        return
    inks = find_inks(views, lightings)
    paneled = may_have_panels(views)
    for place in np.flatnonzero(((lightings.light_ink < 0) | invert) & ~inks.blank).tolist():
        if paneled[place] and find_panel(views[place]) is not None:
            continue
        slot, ink, mask = int(slots[place]), inks.ink(place), inks.masks[place]
        with contextlib.suppress(ImageError):  # `canonicalize` tells what is wrong
            found = _find_on_paper(grays[slot], levels[place], ink, mask, _LOOKS)
            yield slot, _fit(_extract_ink(found))


class _Found(NamedTuple):
    """A digit found in a picture of one polarity, dark ink, shrunk to the view.

    Attributes:
        levels: the picture and its halvings.
        ink: of the view.
        mask: uint8[height, width] of the view, 255 on the digit.
        box: of the mask.
    """

    levels: list[np.ndarray]
    ink: Ink
    mask: np.ndarray
    box: Box


def _digit(gray: np.ndarray) -> np.ndarray:
    return _fit(_extract_ink(_find(gray, _LOOKS)))


def _cropped(gray: np.ndarray, box: Box, shape: tuple[int, ...]) -> np.ndarray:
    """Return the part of the picture that a box of its view is, which has that shape."""
    across, down = gray.shape[1] / shape[1], gray.shape[0] / shape[0]
    left, top, right, bottom = box
    return gray[round(top * down) : round(bottom * down), round(left * across) : round(right * across)]


def _view_side(shape: tuple[int, ...]) -> int:
    """Return the side of the view: more in a wide sheet, whose digit is small."""
    ratio = max(shape) // max(1, min(shape))
    return _VIEW * min(max(1, ratio // 2), _WIDEST)


def _find(gray: np.ndarray, looks: int) -> _Found:
    side = _view_side(gray.shape)
    levels = image_pyramid(gray, side)
    view = shrink(levels[-1], side)
    lighting = estimate_lighting(view)
    if lighting.light_ink:
        # From the start: rounding, and with it the digit, must not depend on the polarity.
        levels = image_pyramid(cv2.bitwise_not(gray), side)
        view = shrink(levels[-1], side)
        lighting = estimate_lighting(view)
    if looks and (panel := find_panel(view)) is not None:
        return _find(_cropped(gray, panel, view.shape), looks - 1)
    ink = find_ink(view, lighting)
    return _find_on_paper(gray, levels, ink, ink.mask(), looks)


def _find_on_paper(
    gray: np.ndarray, levels: list[np.ndarray], ink: Ink, mask: np.ndarray, looks: int
) -> _Found:
    """Find the digit in a picture, given its halvings with dark ink, and the ink and its mask."""
    side = _view_side(gray.shape)
    lines = find_lines(mask)
    if lines is not None and max(levels[-1].shape) > side:
        view = shrink(levels[-1], side * _LINED_VIEW // _VIEW)
        ink = find_ink(view, estimate_lighting(view))
        mask = ink.mask()
        lines = find_lines(mask)
    if lines is not None:
        mask = cv2.subtract(mask, lines.union())
    elif looks and (inside := _inside_frame(mask, ink)) is not None:
        return _find(_cropped(gray, inside, mask.shape), looks - 1)
    digit, box, frame = _without_specks(mask, ink, lines)
    if looks and frame is not None:
        # The frame's ink, and the paper around it, say nothing about the digit's.
        return _find(_cropped(gray, clear_box(box, frame), mask.shape), looks - 1)
    return _Found(levels, ink, digit, box)


def _inside_frame(mask: np.ndarray, ink: Ink) -> Box | None:
    """Return the box inside a frame that the digit or its blur touches, where there is one."""
    if find_frame(mask) is None:
        return None
    floors = (ink.base + share * (ink.peak - ink.base) for share in _CORES)
    cores = (cv2.threshold(ink.contrast, floor, 255, cv2.THRESH_BINARY)[1] for floor in floors)
    return next((box for core in cores if (box := inside_frame(core)) is not None), None)


def _without_specks(
    mask: np.ndarray, ink: Ink, lines: Lines | None
) -> tuple[np.ndarray, Box, np.ndarray | None]:
    """Return the mask of the digit's pieces, their box, and the mask of the frame around them if any.

    Raises:
        ImageError: BLANK when specks are all there is.
    """
    single = _single_piece(mask, ink) if lines is None else None
    if single is not None:
        return *single, None
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_16U)
    weight = _weight(pieces, count, ink, ink.contrast)
    if lines is not None:
        weight[_line_remnants(pieces, stats, lines)] = 0
    frame = frame_pieces(pieces, stats, weight)
    weight[frame] = 0
    largest = int(weight.max())
    if largest <= mask.size // _SPECK:
        raise ImageError(FailureCode.BLANK, "nothing but lines or specks stands out from the paper")
    kept = weight >= max(1, _PIECE * largest)
    left, top, width, height = stats[kept, :4].T
    box = int(left.min()), int(top.min()), int((left + width).max()), int((top + height).max())
    return _selected(pieces, kept), box, _selected(pieces, frame) if frame.any() else None


def _single_piece(mask: np.ndarray, ink: Ink) -> tuple[np.ndarray, Box] | None:
    """Return mask and box of the only piece that is no speck, if it lies within the picture.

    Nearly all scans have one; looking at the pieces' sizes and places takes four times as long.
    """
    left, top, width, height = cv2.boundingRect(mask)
    rows, columns = slice(top, top + height), slice(left, left + width)
    count, pieces = cv2.connectedComponents(mask[rows, columns], connectivity=8, ltype=cv2.CV_16U)
    piece, area = mask, cv2.countNonZero(mask)
    if count > 2:
        weight = _weight(pieces, count, ink, ink.contrast[rows, columns])
        if np.count_nonzero(weight) != 1:
            return None
        largest = int(weight.argmax())
        area = int(weight[largest])
        piece = np.zeros_like(mask)
        piece[rows, columns] = cv2.inRange(pieces, largest, largest)
        left, top, width, height = cv2.boundingRect(piece)
    if area <= mask.size // _SPECK or lies_along_edges(piece):
        return None
    return piece, (left, top, left + width, top + height)


def _weight(pieces: np.ndarray, count: int, ink: Ink, contrast: np.ndarray) -> np.ndarray:
    """Return how many pixels of each piece are dark by their contrast, int64[count]; 0 of the paper."""
    dark = cv2.threshold(contrast, (ink.base + ink.peak) // 2, 255, cv2.THRESH_BINARY)[1]
    weight = cv2.calcHist([pieces], [0], dark, [count], [0, count]).ravel().astype(np.int64)
    weight[0] = 0
    return weight


def _selected(pieces: np.ndarray, which: np.ndarray) -> np.ndarray:
    return (which.astype(np.uint8) * 255)[pieces]


def _line_remnants(pieces: np.ndarray, stats: np.ndarray, lines: Lines) -> np.ndarray:
    """Return a mask of the pieces that are remnants of a line: flat, and next to it or at the edge."""
    left, top, width, height = stats[:, :4].T
    flat = max_line_thickness(pieces.shape)
    beside = np.zeros((2, len(stats)), bool)
    for which, line in enumerate((lines.level, lines.upright)):
        near = cv2.calcHist([pieces], [0], cv2.dilate(line, _NEAR), [len(stats)], [0, len(stats)])
        beside[which] = near.ravel() > 0
    beside[0] |= (top == 0) | (top + height == pieces.shape[0])
    beside[1] |= (left == 0) | (left + width == pieces.shape[1])
    return (beside[0] & (height <= flat)) | (beside[1] & (width <= flat))


def _extract_ink(found: _Found) -> np.ndarray:
    """Return the digit's ink, uint8, 0 = paper, from the halving of the picture that suits."""
    levels, ink, mask, (left, top, right, bottom) = found
    if levels[0].shape == mask.shape:
        rows, columns = slice(top, bottom), slice(left, right)
        return ink.above_paper(ink.contrast[rows, columns], inside=mask[rows, columns])
    share = max(right - left, bottom - top) / max(mask.shape)
    level = next((level for level in reversed(levels) if share * max(level.shape) >= _CLOSE), levels[0])
    height, width = mask.shape
    rows, columns = slice(max(0, top - 1), bottom + 1), slice(max(0, left - 1), right + 1)
    # The mask's pixels are coarser than the level's: the stroke's edge may lie just outside.
    mask = cv2.dilate(mask[rows, columns], _NEAR)
    near = level[_scaled(rows, level.shape[0] / height), _scaled(columns, level.shape[1] / width)]
    size = (near.shape[1], near.shape[0])
    paper = cv2.resize(ink.paper[rows, columns], size, interpolation=cv2.INTER_LINEAR)
    contrast = cv2.subtract(paper, near)
    inside = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
    return ink.above_paper(contrast, inside=inside)


def _scaled(part: slice, factor: float) -> slice:
    return slice(int(part.start * factor), math.ceil(part.stop * factor))


def _fit(ink: np.ndarray) -> np.ndarray:
    """Crop ink, fit it into the box with its aspect kept and its darkest pixel 255, and center it."""
    solid = cv2.threshold(ink, _EDGE * cv2.minMaxLoc(ink)[1], 255, cv2.THRESH_BINARY)[1]
    left, top, width, height = cv2.boundingRect(solid)
    ink = ink[top : top + height, left : left + width]
    factor = BOX / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    fitted = cv2.resize(ink, size, interpolation=interpolation)
    return _centered(cv2.convertScaleAbs(fitted, alpha=255 / cv2.minMaxLoc(fitted)[1]))


def _centered(ink: np.ndarray) -> np.ndarray:
    """Place ink, at most 20 x 20, with its center of mass in the middle of the picture."""
    height, width = ink.shape
    moments = cv2.moments(ink)
    # MNIST's centers of mass lie in [14, 15), counted from the picture's edge.
    row = math.ceil((SIDE - 1) / 2 - moments["m01"] / moments["m00"])
    column = math.ceil((SIDE - 1) / 2 - moments["m10"] / moments["m00"])
    row, column = min(max(row, 0), SIDE - height), min(max(column, 0), SIDE - width)
    picture = np.zeros((SIDE, SIDE), np.uint8)
    picture[row : row + height, column : column + width] = ink
    return picture
