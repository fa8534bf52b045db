"""Draws digits as users have them: plain, in cells with frames, in windows of drums, and of segments."""

from typing import Final

import cv2
import numpy as np

from trainer.data.drawing.ink import draw_text

_EM: Final = 64
_SHARE: Final = (0.45, 0.8)
"""Height of the digit, share of the cell's."""


def plain(font: str, digit: int, rng: np.random.Generator) -> np.ndarray:
    """Return a digit in clean print of some size, uint8[height, width]."""
    ink = draw_text(font, str(digit), size=int(rng.integers(30, 100)))
    return 255 - np.pad(ink, int(rng.integers(4, 24)))


def cell(font: str, digit: int, rng: np.random.Generator) -> np.ndarray:
    """Return a cell of a printed form, cut out with its frame or pieces of it, uint8[height, width].

    Args:
        font: file of the font.
        digit: 0 to 9.
        rng: what is drawn from.
    """
    height, width = _size(rng)
    paper = np.full((height, width), rng.uniform(190, 255), np.float32)
    paper -= _placed(font, digit, (height, width), rng) * (rng.uniform(0.6, 1) * paper.mean())
    frame, thick = rng.uniform(0, 140), int(rng.integers(1, 4))
    # The cut is not the form's: it runs inside the frame here and outside it there.
    for side in range(4):
        if rng.random() < 0.8:
            inset = int(rng.integers(0, 4))
            _side(paper, side, inset, thick)[:] = frame
    return _scanned(paper, rng)


def meter_window(font: str, digit: int, rng: np.random.Generator) -> np.ndarray:
    """Return the window of a meter's drum: a light digit on a dark drum within a light frame."""
    height, width = _size(rng)
    drum, light = rng.uniform(10, 70), rng.uniform(180, 250)
    window = np.full((height, width), drum, np.float32)
    window += _placed(font, digit, (height, width), rng) * (light - drum)
    # Light falls from above, and a drum is round.
    shade = 1 - rng.uniform(0, 0.5) * np.abs(np.linspace(-1, 1, height))[:, None] ** 2
    edges = rng.integers(0, max(2, height // 8), 4)
    framed = cv2.copyMakeBorder(
        window * shade, *edges.tolist(), cv2.BORDER_CONSTANT, value=float(rng.uniform(150, 240))
    )
    return _scanned(framed, rng)


_SEGMENTS: Final = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgecd", "abc", "abcdefg", "abcdfg")
"""Lit segments of each digit: a, g and d from top to bottom, f and b at the upper sides, e and c below."""


def seven_segments(digit: int, rng: np.random.Generator) -> np.ndarray:
    """Return a digit of a seven-segment display, light on dark, uint8[height, width]."""
    height = int(rng.integers(40, 90))
    width, thick = round(height * rng.uniform(0.5, 0.6)), max(3, round(height * rng.uniform(0.09, 0.15)))
    gap, middle = max(1, height // 50), height // 2
    lit = np.zeros((height, width), np.float32)
    for name, top in (("a", 0), ("g", middle - thick // 2), ("d", height - thick)):
        lit[top : top + thick, thick // 2 + gap : width - thick // 2 - gap] = name in _SEGMENTS[digit]
    sides = (("f", 0, 0), ("b", width - thick, 0), ("e", 0, middle), ("c", width - thick, middle))
    for name, left, top in sides:
        strip = lit[top + gap : top + middle - gap, left : left + thick]
        np.maximum(strip, name in _SEGMENTS[digit], out=strip)
    lit = np.pad(lit, height // 4)
    # Displays lean to the right.
    lean = rng.uniform(0, 0.12)
    leaning = np.array([[1, -lean, lean * lit.shape[0] / 2], [0, 1, 0]], np.float32)
    lit = cv2.warpAffine(lit, leaning, lit.shape[::-1])
    return _scanned(rng.uniform(10, 60) + lit * rng.uniform(110, 190), rng)


def _size(rng: np.random.Generator) -> tuple[int, int]:
    height = int(rng.integers(28, 80))
    return height, round(height * rng.uniform(0.65, 1.1))


def _placed(font: str, digit: int, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return the digit's ink, float32 in [0, 1], somewhere near the middle."""
    ink = draw_text(font, str(digit), size=_EM)
    scale = min(shape[0] * rng.uniform(*_SHARE) / ink.shape[0], 0.8 * shape[1] / ink.shape[1])
    size = max(1, round(ink.shape[1] * scale)), max(1, round(ink.shape[0] * scale))
    ink = cv2.resize(ink, size, interpolation=cv2.INTER_AREA)
    free = shape[0] - ink.shape[0], shape[1] - ink.shape[1]
    top, left = (round(space * rng.uniform(0.25, 0.75)) for space in free)
    sheet = np.zeros(shape, np.float32)
    sheet[top : top + ink.shape[0], left : left + ink.shape[1]] = ink / np.float32(255)
    return sheet


def _side(picture: np.ndarray, side: int, inset: int, thick: int) -> np.ndarray:
    """Return the view of a strip along one of four sides."""
    turned = np.rot90(picture, side)
    return turned[inset : inset + thick]


def _scanned(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    blurred = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.0))
    noisy = blurred + rng.normal(0, rng.uniform(0, 6), picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)
