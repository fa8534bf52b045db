"""Converts pixels of any color type and depth to gray levels, and shrinks those."""

from typing import Final

import cv2
import numpy as np

_SEVERAL_COLORS: Final = 24.0
"""Visible pixels with a larger standard deviation, gray levels, show both ink and paper."""

_VISIBLE: Final = 128
"""Least opacity at which a pixel's color counts: below it, encoders leave any color behind."""


def to_gray(pixels: np.ndarray) -> np.ndarray:
    """Return the gray levels of a picture, uint8[height, width], with transparency over paper.

    Args:
        pixels: uint8 or uint16 [height, width], [height, width, 3] or [height, width, 4] in the
            order blue, green, red, opacity. 16 bits are scaled, never clipped.
    """
    if pixels.itemsize == 2:
        pixels = cv2.convertScaleAbs(pixels, alpha=255 / 65535)
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] == 3:
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    gray, opacity = cv2.cvtColor(pixels, cv2.COLOR_BGRA2GRAY), cv2.extractChannel(pixels, 3)
    return gray if cv2.minMaxLoc(opacity)[0] == 255 else _composited(gray, opacity)


def strongest_channel(pixels: np.ndarray) -> np.ndarray:
    """Return the color channel in which a picture varies most, uint8[height, width].

    Yellow ink on white differs by only 29 gray levels, but by 255 in the blue channel.
    """
    deviations = cv2.meanStdDev(pixels)[1].ravel()[:3]
    return to_gray(cv2.extractChannel(pixels, int(deviations.argmax())))


def image_pyramid(gray: np.ndarray, side: int) -> list[np.ndarray]:
    """Return the picture at full, half, quarter … size, until the longer side is less than twice `side`.

    OpenCV averages fastest in halves: from 1,000 px to 64 takes 60 us this way and 1,200 us in one step.
    An odd last row or column is dropped.
    """
    levels = [gray]
    while max(levels[-1].shape) >= 2 * side and min(levels[-1].shape) >= 2:
        height, width = levels[-1].shape[0] // 2, levels[-1].shape[1] // 2
        even = levels[-1][: 2 * height, : 2 * width]
        levels.append(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA))
    return levels


def shrink(gray: np.ndarray, side: int) -> np.ndarray:
    """Shrink a picture so that its longer side is at most `side` pixels, keeping the aspect ratio."""
    size = size_within(gray.shape, side)
    return gray if size == gray.shape[::-1] else cv2.resize(gray, size, interpolation=cv2.INTER_AREA)


def size_within(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Return width and height of a picture [height, width] once it is shrunk to that longer side."""
    height, width = shape
    factor = side / max(height, width)
    return (width, height) if factor >= 1 else (max(1, round(width * factor)), max(1, round(height * factor)))


def _composited(gray: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    weight = opacity.astype(np.float32) * np.float32(1 / 255)
    mixed = gray * weight + _paper_behind(gray, opacity) * (1 - weight)
    return np.round(mixed).astype(np.uint8)


def _paper_behind(gray: np.ndarray, opacity: np.ndarray) -> float:
    """Return a gray level for transparent paper, which has none of its own: one that shows the ink."""
    visible = gray[opacity >= _VISIBLE]
    if visible.size == 0:
        visible = gray[opacity > 0] if opacity.any() else np.zeros(1, np.uint8)
    if float(visible.std()) > _SEVERAL_COLORS:
        return float(np.median(visible))
    return 255.0 if float(visible.mean()) < 128 else 0.0
