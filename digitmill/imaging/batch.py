"""Decodes many images into one array, with each image's error where there is no digit."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from digitmill.imaging.canonical import NATIVE_BORDER, border, canonicalise
from digitmill.imaging.decode import decode_here
from digitmill.imaging.guard import GUARD, Outcome
from digitmill.imaging.headers.header import read_header
from digitmill.imaging.page_reading import Content, Page
from digitmill.imaging.paper import MIN_CONTRAST
from digitmill.native_log import without_warnings
from schemas.digit import SIDE
from schemas.failure import ImageError

_NATIVE: Final = (SIDE, SIDE)


@dataclasses.dataclass(frozen=True)
class DigitBatch:
    """Decoded images, in the order given.

    Attributes:
        digits: uint8[N, 28, 28] canonical digits; zeros where there is an error.
        errors: N entries, None where the digit is valid.
    """

    digits: np.ndarray
    errors: list[ImageError | None]


def decode_batch(contents: Iterable[Content], size: int) -> DigitBatch:
    """Decode and canonicalise `size` images; a bad one affects its own slot alone.

    Args:
        contents: each image's bytes, or a page of a file, or the error that reading it met; taken one at a
            time, so that an iterator need hold only one image in memory.
        size: how many images `contents` gives.

    Raises:
        ValueError: when `contents` gives another number of images.
    """
    digits = np.zeros((size, SIDE, SIDE), np.uint8)
    errors: list[ImageError | None] = [None] * size
    unchecked = np.zeros(size, bool)
    # libpng's and libjpeg's warnings do not say which image they are about.
    with without_warnings():
        for slot, content in zip(range(size), contents, strict=True):
            try:
                if not isinstance(content, bytes):
                    digits[slot] = _digit_of(content)
                    continue
                header = read_header(content)
                if not header.plain:
                    digits[slot] = GUARD.digit(content)
                    continue
                pixels = decode_here(content, header)
                if pixels.shape == _NATIVE and pixels.itemsize == 1:
                    digits[slot] = pixels
                    unchecked[slot] = True
                else:
                    digits[slot] = canonicalise(pixels)
            except ImageError as error:
                errors[slot] = error
    _finish_natives(digits, errors, unchecked=unchecked)
    return DigitBatch(digits, errors)


def _digit_of(content: Page | ImageError) -> np.ndarray:
    outcome: Outcome = content.outcome if isinstance(content, Page) else content
    if isinstance(outcome, ImageError):
        raise outcome
    return outcome


def canonical_batch(pictures: Sequence[np.ndarray] | np.ndarray) -> DigitBatch:
    """Canonicalise decoded pictures of one size or of many; a bad one affects its own slot alone."""
    digits = np.zeros((len(pictures), SIDE, SIDE), np.uint8)
    errors: list[ImageError | None] = [None] * len(pictures)
    if all(picture.shape == _NATIVE and picture.itemsize == 1 for picture in pictures):
        digits[:] = pictures
        _finish_natives(digits, errors, unchecked=np.ones(len(pictures), bool))
    else:
        for slot, picture in enumerate(pictures):
            try:
                digits[slot] = canonicalise(np.ascontiguousarray(picture))
            except ImageError as error:
                errors[slot] = error
    return DigitBatch(digits, errors)


def _finish_natives(digits: np.ndarray, errors: list[ImageError | None], *, unchecked: np.ndarray) -> None:
    """Canonicalise the few 28 x 28 pictures that are not canonical yet.

    Polarity and blankness are checked for the whole batch at once: 1 us an image cheaper than one by one,
    on the path that nearly every image takes.
    """
    bright = border(digits).mean(axis=-1) >= NATIVE_BORDER
    blank = digits.max(axis=(1, 2)) < MIN_CONTRAST
    for slot in np.flatnonzero(unchecked & (bright | blank)):
        try:
            digits[slot] = canonicalise(digits[slot])
        except ImageError as error:
            digits[slot] = 0
            errors[slot] = error
