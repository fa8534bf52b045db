"""Separates ink from paper: finds which of them is lighter, and the paper's local brightness and grain."""

import functools
import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import cv2
import numpy as np

from digitmill.imaging.gray import shrink
from schemas.failure import FailureCode, ImageError

_MIN_CONTRAST: Final = 12
"""Ink must stand out from the paper by this much even where it has no grain, gray levels: JPEG makes 8."""

_BLANK_GRAIN: Final = 6.0
"""Ink must stand out from the paper's grain by this many standard deviations."""

_INK_GRAIN: Final = 4.0
"""A pixel is ink only if it is darker than the paper by this many standard deviations of its grain."""

_INK_SHARE: Final = 0.08
"""And by this share of the darkest ink's contrast: less is blur, or JPEG's echoes around strokes."""

GRID: Final = 16
"""Rows and columns of the grid on which polarity and the light's slope are estimated."""

BORDER_WEIGHT: Final = 0.5
"""Weight of the border's mean beside the skewness, both in standard deviations. Measured on 11,000
pictures, scans, boxes, tight crops and bold ones: 0 fails for bold ones, 1 for boxes along the edges."""

PAPER_SIDE: Final = 32
"""Longer side at which the paper is estimated, pixels: light changes slowly."""

_CLOSING: Final = 0.47
"""Strokes are closed up to this share of the longer side; the boldest digit's are 0.35 of its own."""

_LEAST_CLOSING: Final = 9
"""At least this many pixels, in pictures so small that blur is as wide as the strokes."""

LIGHTEST: Final = 235
"""Where the paper's mean lies once the slope is taken away: room above for grain, below for ink."""

HEADROOM: Final = 16
"""The paper is put this many gray levels higher, so that grain above it is seen and not clipped."""

_FEW: Final = 200
"""One in this many pixels may be darker than the ink. With 600, a third more of the small digits on large
sheets are found, and seven times as much dust on blank paper."""

_SPREAD: Final = 1.12
"""Standard deviations between the 5th and the 30th hundredth of a normal distribution."""

_LEVELS: Final = np.arange(256, dtype=np.uint8)


class FeaturelessError(ImageError):
    """Nothing stands out from the paper; the failure code is BLANK."""


class Lighting(NamedTuple):
    """Polarity and light of a picture, estimated before its ink is known.

    Attributes:
        small: the picture, uint8, at most 32 pixels on its longer side.
        plane: float32[16, 16], the paper's slope from bright to dark, in gray levels.
        light_ink: whether the ink is lighter than the paper.
    """

    small: np.ndarray
    plane: np.ndarray
    light_ink: bool


class Ink(NamedTuple):
    """The ink of a picture with dark ink.

    Attributes:
        paper: uint8[height, width], the paper's gray level under each pixel, plus a constant.
        contrast: uint8[height, width], by how much each pixel is darker than `paper`.
        base: the paper's own contrast, at most the constant.
        floor: contrast up to which a pixel counts as paper, including grain and blur.
        peak: the ink's contrast.
    """

    paper: np.ndarray
    contrast: np.ndarray
    base: int
    floor: int
    peak: int

    def above_paper(self, contrast: np.ndarray, *, inside: np.ndarray) -> np.ndarray:
        """Convert contrast to amounts of ink, uint8, 0 = paper, within the mask `inside` (255)."""
        table = np.zeros(256, np.uint8)
        table[self.floor + 1 :] = _LEVELS[self.floor + 1 - self.base : 256 - self.base]
        return cv2.bitwise_and(cv2.LUT(contrast, table), inside)

    def mask(self) -> np.ndarray:
        """Return uint8[height, width], 255 where there is ink."""
        return cv2.threshold(self.contrast, self.floor, 255, cv2.THRESH_BINARY)[1]


def estimate_lighting(gray: np.ndarray) -> Lighting:
    """Return polarity and slope of a picture uint8[height, width].

    Ink usually covers less area than paper, so its side of the distribution has the longer tail. If ink
    covers as much, as bold digits in tight crops do, the border decides, because it is paper.
    """
    small = shrink(gray, PAPER_SIDE)
    terms, inverse, border = plane_terms()
    levels = cv2.resize(small, (GRID, GRID), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    plane = terms @ (inverse @ levels)
    residual = levels - plane
    deviation = math.sqrt(float(residual @ residual) / levels.size) or 1.0
    skewness = float((residual * residual) @ residual) / (levels.size * deviation**3)
    light_ink = skewness - BORDER_WEIGHT * float(border @ residual) / deviation > 0
    return Lighting(small, plane.reshape(GRID, GRID), light_ink)


def find_ink(gray: np.ndarray, lighting: Lighting) -> Ink:
    """Separate ink from paper in a picture uint8[height, width] with dark ink.

    Raises:
        FeaturelessError: when nothing stands out from the paper.
    """
    paper = _paper(lighting)
    if paper.shape != gray.shape:
        paper = cv2.resize(paper, (gray.shape[1], gray.shape[0]), interpolation=cv2.INTER_LINEAR)
    contrast = cv2.subtract(paper, gray)
    lowest, base, peak = _quantiles(contrast)
    least, floor = ink_limits(lowest, base, peak)
    if peak - base < least:
        raise FeaturelessError(
            FailureCode.BLANK,
            f"no ink: contrast with the paper is {peak - base:.0f} gray levels, {least:.0f} are needed",
        )
    return Ink(paper, contrast, base=base, floor=int(floor), peak=peak)


def ink_limits(lowest: Any, base: Any, peak: Any, *, greater: Callable = max) -> tuple[Any, Any]:
    """Return by how much ink must exceed the paper's contrast, and up to which contrast pixels are paper.

    Args:
        lowest: the 5th hundredth of the contrast, of a picture or of an array of pictures.
        base: the 30th hundredth.
        peak: the ink's contrast.
        greater: `numpy.maximum` for arrays.
    """
    grain = (base - lowest) / _SPREAD
    # Gray levels are whole numbers: the grain may be coarser by one.
    least = greater(_MIN_CONTRAST, _BLANK_GRAIN * (grain + 1 / _SPREAD))
    return least, base + greater(_INK_GRAIN * grain, _INK_SHARE * (peak - base))


def closing_reach(side: int) -> int:
    """Return the side of the square that closes strokes in a picture with that longer side, pixels, odd."""
    return max(_LEAST_CLOSING, int(side * _CLOSING) | 1)


@functools.cache
def square(side: int) -> np.ndarray:
    """Return a square of ones, uint8[side, side]."""
    return np.ones((side, side), np.uint8)


@functools.cache
def plane_terms() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a plane's three terms on the grid, their pseudo-inverse, and the mean over the border."""
    place = np.linspace(-1, 1, GRID)
    terms = np.stack([np.ones(GRID**2), np.repeat(place, GRID), np.tile(place, GRID)], axis=1)
    border = np.ones((GRID, GRID))
    border[1:-1, 1:-1] = 0
    border /= border.sum()
    inverse = np.linalg.pinv(terms)
    return terms.astype(np.float32), inverse.astype(np.float32), border.ravel().astype(np.float32)


def _paper(lighting: Lighting) -> np.ndarray:
    """Return the paper's gray level, plus the headroom, under each pixel of the small picture.

    The slope is taken away before the strokes are closed, because closing at the picture's dark
    edge would carry the brighter level from within outwards.
    """
    small = lighting.small
    size = (small.shape[1], small.shape[0])
    plane = cv2.addWeighted(lighting.plane, 1, lighting.plane, 0, 0, dtype=cv2.CV_8U)
    plane = cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR)
    level = cv2.addWeighted(small, 1, plane, -1, LIGHTEST)
    closed = cv2.morphologyEx(level, cv2.MORPH_CLOSE, square(closing_reach(max(size))))
    return cv2.addWeighted(plane, 1, closed, 1, HEADROOM - LIGHTEST)


def _quantiles(contrast: np.ndarray) -> tuple[int, int, int]:
    """Return the 5th and the 30th hundredth, both paper, and the ink's level: all but a few pixels'.

    A few specks must not set the ink's level; of a small picture every pixel counts.
    """
    counts = histogram(contrast).cumsum()
    return tuple(counts.searchsorted(ranks(contrast.size), side="right").tolist())


def histogram(picture: np.ndarray) -> np.ndarray:
    """Return how many pixels of uint8[height, width] have each gray level, float32[256]."""
    return cv2.calcHist([picture], [0], None, [256], [0, 256]).ravel()


@functools.lru_cache
def ranks(size: int) -> np.ndarray:
    """Return the ranks of three quantiles of so many pixels, float32[3]: two of paper, one of ink."""
    return np.array((0.05 * size, 0.3 * size, size - 1 - size // _FEW), np.float32)
