"""Distinguishes canonical digits, which are kept byte for byte, from pictures that need fitting."""

from typing import Final

import numpy as np

from schemas.digit import BOX, SIDE

NATIVE_INK: Final = 128
"""The darkest ink of a canonical digit is at least this; fainter ones are stretched, gray levels."""

NATIVE_TOLERANCE: Final = 2
"""The longer side of a canonical digit's ink differs from the box's by at most this many pixels."""

CENTER: Final = SIDE // 2
"""Row and column of a canonical digit's center of mass, give or take a pixel; MNIST's are 13.5 to 14.5."""

_PLACES: Final = np.arange(SIDE, dtype=np.float32)
_TERMS: Final = np.stack([np.ones_like(_PLACES), _PLACES], axis=1)


def are_native(pictures: np.ndarray) -> np.ndarray:
    """Return which pictures of uint8[N, 28, 28] are canonical digits, bool[N].

    All MNIST digits are: their ink is 19 or 20 pixels long. Sums are exact in float32, so a picture's result
    does not depend on its batch. Takes 1 us per image; nearly every image goes through here.
    """
    count = len(pictures)
    sums = (pictures.reshape(count * SIDE, SIDE).astype(np.float32) @ _TERMS).reshape(count, SIDE, 2)
    in_rows, mass = sums[..., 0], sums[..., 0].sum(axis=1)
    # Two rows are 56 bytes, seven words: half the time of a reduction by bytes.
    pairs = np.bitwise_or.reduce(pictures.reshape(count, SIDE // 2, 2 * SIDE).view(np.uint64), axis=1)
    in_columns = np.bitwise_or.reduce(pairs.view(np.uint8).reshape(count, 2, SIDE), axis=1)
    top, bottom = _span(in_rows > 0)
    left, right = _span(in_columns > 0)
    off_size = np.abs(np.maximum(bottom - top, right - left) - BOX)
    strongest = pictures.reshape(count, SIDE * SIDE).max(axis=1)
    return (
        (strongest >= NATIVE_INK)
        & (off_size <= NATIVE_TOLERANCE)
        & _centered(in_rows @ _PLACES, mass, top, bottom)
        & _centered(sums[..., 1].sum(axis=1), mass, left, right)
    )


def is_native(pixels: np.ndarray) -> bool:
    """Whether a picture has the canonical shape and depth and is a canonical digit."""
    if pixels.shape != (SIDE, SIDE) or pixels.dtype != np.uint8:
        return False
    # Ink of 22 pixels cannot lie in both corners; this is quick.
    if pixels[0, 0] and pixels[-1, -1]:
        return False
    return bool(are_native(np.ascontiguousarray(pixels)[None])[0])


def _span(used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first place used of bool[N, 28], and the place after the last."""
    return used.argmax(axis=1), SIDE - used[:, ::-1].argmax(axis=1)


def _centered(moment: np.ndarray, mass: np.ndarray, first: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Whether the center of mass is in the middle, or would be if the picture's edge were not in the way."""
    off = moment - CENTER * mass
    return (np.abs(off) <= mass) | ((off > 0) & (first == 0)) | ((off < 0) & (end == SIDE))
