"""Makes pictures of ink like cameras, scanners and screens: rotated, blurred, uneven, noisy, compressed."""

import math
from typing import Final

import cv2
import numpy as np

_TURN: Final = 7.0
"""Greatest rotation, degrees."""

_CLEAR: Final = 16
"""Smaller ink is illegible with changed strokes or strong compression, pixels."""

_SLANT: Final = 0.15
_TILT: Final = 0.06
"""Greatest movement of a corner in perspective, share of the side."""


def photograph(ink: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a gray picture of ink, dark on light or light on dark.

    Args:
        ink: uint8[height, width], cropped.
        size: longest side of the ink in the picture, pixels.
        rng: what is drawn from.

    Returns:
        uint8[height, width], the ink with paper around it, much or none.
    """
    factor = size / max(ink.shape)
    if factor != 1:
        shape = (max(1, round(ink.shape[1] * factor)), max(1, round(ink.shape[0] * factor)))
        how = (
            cv2.INTER_AREA
            if factor < 1
            else rng.choice((cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST))
        )
        ink = cv2.resize(ink, shape, interpolation=int(how))
    sheet = _placed(ink, size, rng)
    if rng.random() < 0.6:
        sheet = _turned(sheet, rng)
    if size >= _CLEAR and rng.random() < 0.3:
        sheet = _spread(sheet, size, rng)
    return _exposed(sheet, size, rng)


def _placed(ink: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return the ink on a sheet: a quarter of them in tight crops."""
    tight = rng.random() < 0.25
    margins = rng.integers(0, 3, 4) if tight else np.round(size * rng.uniform(0.1, 0.8, 4)).astype(int) + 1
    top, bottom, left, right = margins.tolist()
    return cv2.copyMakeBorder(ink, top, bottom, left, right, cv2.BORDER_CONSTANT, value=0)


def _turned(sheet: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the sheet turned, slanted, stretched and tilted a little; its size stays."""
    height, width = sheet.shape
    angle = math.radians(rng.uniform(-_TURN, _TURN))
    turn = np.array([(math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle))])
    slant = np.array([(rng.uniform(0.8, 1), rng.uniform(-_SLANT, _SLANT)), (0, rng.uniform(0.9, 1))])
    middle = np.array([width / 2, height / 2])
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * middle
    moved = corners @ (turn @ slant).T + max(height, width) / 2 * rng.uniform(-_TILT, _TILT, (4, 2))
    warp = cv2.getPerspectiveTransform(*((at + middle).astype(np.float32) for at in (corners, moved)))
    return cv2.warpPerspective(sheet, warp, (width, height), flags=cv2.INTER_LINEAR)


def _spread(sheet: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return the sheet with thicker or thinner strokes, by up to a twentieth of the size."""
    side = 1 + round(rng.uniform(0.02, 0.08) * size)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    thicker = cv2.dilate(sheet, kernel)
    if rng.random() < 0.6:
        return thicker
    thinner = cv2.erode(sheet, kernel)
    # Thin strokes would vanish.
    return thinner if thinner.sum() > 0.5 * sheet.sum() else sheet


def _exposed(sheet: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return the sheet in gray levels, under uneven light, blurred, grainy and compressed."""
    if rng.random() < 0.6:
        sheet = cv2.GaussianBlur(sheet, (0, 0), 0.2 + size * rng.uniform(0, 0.05))
    paper = rng.uniform(120, 255)
    contrast = paper * rng.uniform(0.3, 1)
    height, width = sheet.shape
    level = paper - contrast / 255 * sheet.astype(np.float32)
    if rng.random() < 0.5:
        across, down = (
            np.linspace(-1, 1, width, dtype=np.float32),
            np.linspace(-1, 1, height, dtype=np.float32),
        )
        level *= 1 + rng.uniform(-0.12, 0.12) * across + rng.uniform(-0.12, 0.12) * down[:, None]
    if rng.random() < 0.3:
        level = 255 - level
    if rng.random() < 0.6:
        grain = rng.standard_normal((height, width), np.float32)
        level += grain * np.float32(contrast * rng.uniform(0, 0.08))
    picture = level.clip(0, 255).astype(np.uint8)
    return _compressed(picture, 30 if size >= _CLEAR else 60, rng) if rng.random() < 0.4 else picture


def _compressed(picture: np.ndarray, lowest: int, rng: np.random.Generator) -> np.ndarray:
    quality = int(rng.integers(lowest, 96))
    encoded = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, quality))[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
    return picture if decoded is None else decoded
