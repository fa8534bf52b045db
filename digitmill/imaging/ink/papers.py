"""Separates ink from paper in many pictures of one shape at once, with the same results as `paper`.

A call of OpenCV takes 2 to 10 us, which is more than it needs for a small picture. So pictures are stacked,
one on top of the other, where a picture's result does not depend on those above and below it.
"""

from typing import Final, NamedTuple

import cv2
import numpy as np

from digitmill.imaging.gray import size_within
from digitmill.imaging.ink.paper import (
    BORDER_WEIGHT,
    GRID,
    HEADROOM,
    LIGHTEST,
    PAPER_SIDE,
    Ink,
    closing_reach,
    histogram,
    ink_limits,
    plane_terms,
    ranks,
    square,
)

_SURE: Final = 0.001
"""Above this, rounding cannot change what `light_ink` says: ten thousand times float32's."""


class Lightings(NamedTuple):
    """Polarity and slopes of pictures.

    Attributes:
        small: uint8[N, height, width], the pictures with a longer side of at most 32 pixels.
        planes: float32[N, 16, 16], each paper's slope from bright to dark, in gray levels.
        light_ink: float64[N], above 0 if the ink is lighter than the paper; NaN if it is too close to say.
    """

    small: np.ndarray
    planes: np.ndarray
    light_ink: np.ndarray


def estimate_lightings(pictures: np.ndarray) -> Lightings:
    """Return for each picture of uint8[N, height, width] what `paper.estimate_lighting` returns."""
    count = len(pictures)
    small = _resized(pictures, size_within(pictures.shape[1:], PAPER_SIDE), cv2.INTER_AREA)
    terms, inverse, border = plane_terms()
    levels = _resized(small, (GRID, GRID), cv2.INTER_AREA).astype(np.float32).reshape(count, GRID**2)
    # A product for each picture: that of all at once adds up in another order, and rounds differently.
    planes = (terms @ (inverse @ levels[:, :, None]))[:, :, 0]
    residual = levels - planes
    squares = residual * residual
    deviation = np.sqrt(squares.mean(axis=1, dtype=np.float64))
    deviation[deviation == 0] = 1
    skewness = (squares * residual).mean(axis=1, dtype=np.float64) / deviation**3
    light_ink = skewness - BORDER_WEIGHT * (residual @ border) / deviation
    light_ink[np.abs(light_ink) < _SURE] = np.nan
    return Lightings(small, planes.reshape(count, GRID, GRID), light_ink)


class Inks(NamedTuple):
    """The ink of pictures with dark ink; arrays of N.

    Attributes:
        papers: uint8[N, height, width], and so on as in `paper.Ink`.
        masks: uint8[N, height, width], 255 where there is ink.
        blank: bool[N], whether nothing stands out from the paper.
    """

    papers: np.ndarray
    contrasts: np.ndarray
    bases: np.ndarray
    floors: np.ndarray
    peaks: np.ndarray
    masks: np.ndarray
    blank: np.ndarray

    def ink(self, place: int) -> Ink:
        """Return the ink of one picture, without a copy."""
        base, floor, peak = (int(part[place]) for part in (self.bases, self.floors, self.peaks))
        return Ink(self.papers[place], self.contrasts[place], base=base, floor=floor, peak=peak)


def find_inks(pictures: np.ndarray, lightings: Lightings) -> Inks:
    """Separate ink from paper in pictures uint8[N, height, width] with dark ink, as `paper.find_ink` does."""
    height, width = pictures.shape[1:]
    papers = _resized(_papers(lightings), (width, height), cv2.INTER_LINEAR)
    contrasts = cv2.subtract(_tall(papers), _tall(pictures)).reshape(pictures.shape)
    counts = np.stack([histogram(contrast) for contrast in contrasts]).cumsum(axis=1)
    # How many gray levels are below the quantile: where it would be inserted.
    lowest, base, peak = ((counts <= rank).sum(axis=1) for rank in ranks(height * width))
    least, floor = ink_limits(lowest, base, peak, greater=np.maximum)
    floors = floor.astype(np.int64)
    dark = contrasts > floors.astype(np.uint8)[:, None, None]
    masks = dark.view(np.uint8) * np.uint8(255)
    return Inks(papers, contrasts, base, floors, peak, masks, peak - base < least)


def _papers(lightings: Lightings) -> np.ndarray:
    """Return the papers of the small pictures, uint8[N, height, width]."""
    small, planes, _ = lightings
    count, height, width = small.shape
    slope = cv2.addWeighted(_tall(planes), 1, _tall(planes), 0, 0, dtype=cv2.CV_8U)
    slope = _tall(_resized(slope.reshape(count, GRID, GRID), (width, height), cv2.INTER_LINEAR))
    level = cv2.addWeighted(_tall(small), 1, slope, -1, LIGHTEST).reshape(small.shape)
    papers = cv2.addWeighted(slope, 1, _tall(_closed(level)), 1, HEADROOM - LIGHTEST)
    return papers.reshape(small.shape)


def _tall(pictures: np.ndarray) -> np.ndarray:
    """Return pictures [N, height, width] as one, [N * height, width]."""
    return np.ascontiguousarray(pictures).reshape(-1, pictures.shape[2])


def _resized(pictures: np.ndarray, size: tuple[int, int], interpolation: int) -> np.ndarray:
    """Resize each of uint8[N, height, width] to a width and height, as OpenCV does."""
    count, height, width = pictures.shape
    if size == (width, height):
        return pictures
    across, down = size
    if (height / down, width / across) in {(2, 2), (4, 4)} and interpolation == cv2.INTER_AREA:
        # Each pixel is the mean of a square within its own picture.
        return cv2.resize(_tall(pictures), (across, count * down), interpolation=interpolation).reshape(
            count, down, across
        )
    if (down / height, across / width) == (2, 2) and interpolation == cv2.INTER_LINEAR:
        # Each pixel depends on neighbors; beyond the edge, these are like those at the edge.
        edged = np.concatenate([pictures[:, :1], pictures, pictures[:, -1:]], axis=1)
        tall = cv2.resize(_tall(edged), (across, count * (down + 4)), interpolation=interpolation)
        return np.ascontiguousarray(tall.reshape(count, down + 4, across)[:, 2:-2])
    return np.stack([cv2.resize(picture, size, interpolation=interpolation) for picture in pictures])


def _closed(pictures: np.ndarray) -> np.ndarray:
    """Close the strokes of uint8[N, height, width], ink being dark."""
    count, height, width = pictures.shape
    reach = closing_reach(max(height, width))
    # Between pictures there is room for half a square, which first is dark, then bright: it changes nothing.
    spaced = np.zeros((count, height + reach // 2, width), np.uint8)
    spaced[:, :height] = pictures
    spaced = cv2.dilate(_tall(spaced), square(reach)).reshape(spaced.shape)
    spaced[:, height:] = 255
    return cv2.erode(_tall(spaced), square(reach)).reshape(spaced.shape)[:, :height]
