"""Turns the pixels of one digit on paper into the canonical digit, as MNIST is.

Every step is what MNIST's makers did to their scans (crop, fit into 20 x 20, centre by mass), after
what a camera or a form adds has been taken away: transparency, depth, polarity, uneven light.
"""

import math
from typing import Final

import cv2
import numpy as np

from imaging.errors import ImageError
from schemas.digit import BOX, SIDE
from schemas.failure import FailureCode

PREPROCESSING_VERSION: Final = "1"
"""Changes whenever any image's canonical digit does; part of the identity of a scored image."""

NATIVE_BORDER: Final = 64
"""A 28 x 28 picture whose border is darker than this on average is canonical already, grey levels."""

MIN_CONTRAST: Final = 32
"""Ink must stand out from the paper by this much, grey levels."""

_WORKING_SIDE: Final = 112
"""Pictures are shrunk to this before anything is looked for: 4-5 times the size of what comes out."""

_NOISE_FACTOR: Final = 6.0
"""Ink must stand out from the paper's grain by this many standard deviations."""

_GRAIN_FACTOR: Final = 3.0
"""Paper darker than its plane by less than this many standard deviations of the grain is no ink."""

_PAPER_SIDE: Final = 28
"""The paper's plane is fitted to about this many rows and columns: more would not change it."""

_RIDGE: Final = np.diag([1e-3, 1e-1, 1e-1]).astype(np.float32)

_OPAQUE: Final = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


def canonicalise(pixels: np.ndarray) -> np.ndarray:
    """Returns the canonical digit of a picture.

    Args:
        pixels: uint8 or uint16 [height, width], [height, width, 3] or [height, width, 4] in the
            order blue, green, red, opacity.

    Returns:
        uint8[28, 28], 0 = paper, 255 = ink, at least one pixel of ink. A picture that already is
        canonical comes back byte for byte.

    Raises:
        ImageError: BLANK when nothing stands out from the paper.
    """
    if is_native(pixels):
        if pixels.max() < MIN_CONTRAST:
            raise ImageError(FailureCode.BLANK, f"no pixel brighter than {pixels.max()} of 255")
        return pixels
    return _fit(_ink(_shrink(_grey(pixels))))


def is_native(pixels: np.ndarray) -> bool:
    """Whether a picture has the canonical shape, depth and polarity."""
    if pixels.shape != (SIDE, SIDE) or pixels.dtype != np.uint8:
        return False
    return bool(border(pixels).mean() < NATIVE_BORDER)


def border(pixels: np.ndarray) -> np.ndarray:
    """Returns the outermost rows and columns of [..., height, width] as [..., n], corners twice."""
    edges = (pixels[..., 0, :], pixels[..., -1, :], pixels[..., :, 0], pixels[..., :, -1])
    return np.concatenate(edges, axis=-1)


def _grey(pixels: np.ndarray) -> np.ndarray:
    """Composites transparency, scales 16 bits (never clips) and returns float32 grey in [0, 255]."""
    scaled = pixels.astype(np.float32) * (255 / _OPAQUE[pixels.dtype])
    if scaled.ndim == 2:
        return scaled
    if scaled.shape[2] == 3:
        return cv2.cvtColor(scaled, cv2.COLOR_BGR2GRAY)
    grey = cv2.cvtColor(scaled, cv2.COLOR_BGRA2GRAY)
    opacity = scaled[..., 3] / 255
    if opacity.min() == 1:
        return grey
    # Transparent paper has no colour of its own: take the one that shows the ink.
    ink = float((grey * opacity).sum() / max(float(opacity.sum()), 1.0))
    paper = 255.0 if ink < 128 else 0.0
    return grey * opacity + paper * (1 - opacity)


def _shrink(grey: np.ndarray) -> np.ndarray:
    height, width = grey.shape
    factor = _WORKING_SIDE / max(height, width)
    if factor >= 1:
        return grey
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)


def _ink(grey: np.ndarray) -> np.ndarray:
    """Returns how far each pixel stands out from the paper, float32, 0 = paper, 1 = full ink."""
    paper, grain = _paper(grey)
    contrast = grey - paper
    if -float(contrast.min()) > float(contrast.max()):
        contrast = -contrast
    # A few specks must not set the scale; of a small picture every pixel counts.
    kth = contrast.size - 1 - contrast.size // 200
    peak = float(np.partition(contrast, kth, axis=None)[kth])
    floor = max(_NOISE_FACTOR * grain, MIN_CONTRAST)
    if peak < floor:
        raise ImageError(
            FailureCode.BLANK,
            f"nothing stands out from the paper by {floor:.0f} grey levels, at most {peak:.0f}",
        )
    low = min(_GRAIN_FACTOR * grain, peak / 4)
    return np.clip((contrast - low) * (1 / (peak - low)), 0, 1)


def _paper(grey: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns the paper's grey level under each pixel, a plane, and the grain's standard deviation."""
    rows = np.linspace(-1, 1, grey.shape[0], dtype=np.float32)
    columns = np.linspace(-1, 1, grey.shape[1], dtype=np.float32)
    every = max(1, max(grey.shape) // _PAPER_SIDE)
    seen = grey[::every, ::every].ravel()
    terms = np.empty((seen.size, 3), np.float32)
    terms[:, 0] = 1
    terms[:, 1] = np.repeat(rows[::every], columns[::every].size)
    terms[:, 2] = np.tile(columns[::every], rows[::every].size)
    plane = np.array([np.median(border(grey)), 0, 0], np.float32)
    for _ in range(3):
        distance = np.abs(seen - terms @ plane)
        spread = 1.4826 * float(np.median(distance))
        near = terms[distance <= max(8.0, 2 * spread)]
        levels = seen[distance <= max(8.0, 2 * spread)]
        # A slight pull towards a level plane keeps the equations solvable with paper in one row only.
        plane = np.linalg.solve(near.T @ near + _RIDGE, near.T @ levels).astype(np.float32)
    return plane[0] + plane[1] * rows[:, None] + plane[2] * columns, spread


def _fit(ink: np.ndarray) -> np.ndarray:
    """Crops the ink, fits it into the box with its aspect kept, and centres it by mass."""
    mask = (ink > 0.5).astype(np.uint8)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        raise ImageError(FailureCode.BLANK, "no ink")
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = ink.shape
    factor = BOX / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    fitted = cv2.resize(ink, size, interpolation=interpolation)
    return np.round(_centre_by_mass(fitted) * (255 / fitted.max())).astype(np.uint8)


def _centre_by_mass(ink: np.ndarray) -> np.ndarray:
    height, width = ink.shape
    mass = ink.sum()
    # MNIST's centres of mass lie in [14, 15), counted from the picture's edge.
    row = math.ceil(SIDE / 2 - float(ink.sum(axis=1) @ (np.arange(height) + 0.5) / mass))
    column = math.ceil(SIDE / 2 - float(ink.sum(axis=0) @ (np.arange(width) + 0.5) / mass))
    row, column = min(max(row, 0), SIDE - height), min(max(column, 0), SIDE - width)
    picture = np.zeros((SIDE, SIDE), np.float32)
    picture[row : row + height, column : column + width] = ink
    return picture
