"""Decodes many images into one array, with an error for each image without a digit."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from digitmill.imaging.canonical import canonicalize_alike
from digitmill.imaging.decode import decode_here
from digitmill.imaging.guard import GUARD, Outcome
from digitmill.imaging.headers.header import read_header
from digitmill.imaging.native import are_native
from digitmill.imaging.page_reading import Content, Page
from digitmill.imaging.small_png import BLOCK, BLOCK_BYTES, Size, decode_small, small_size
from digitmill.native_log import without_warnings
from schemas.digit import SIDE
from schemas.failure import ImageError

_NATIVE: Final = (SIDE, SIDE)

_MOST_BYTES: Final = 16 * 2**20
"""Of pictures that wait for others of their shape."""


@dataclasses.dataclass(frozen=True)
class DigitBatch:
    """Decoded images, in the order given.

    Attributes:
        digits: uint8[N, 28, 28] canonical digits; zeros for images with an error.
        errors: N entries, None for valid digits.
    """

    digits: np.ndarray
    errors: list[ImageError | None]


def decode_batch(contents: Iterable[Content], size: int) -> DigitBatch:
    """Decode and canonicalize `size` images; a bad image affects only its own slot.

    Args:
        contents: each image's bytes, a page of a file, or the error that occurred when reading it; consumed
            one at a time, and at most 32 MB of them wait to be decoded with others.
        size: number of images in `contents`.

    Raises:
        ValueError: when `contents` has another number of images.
    """
    batch = _Batch(size)
    # libpng's and libjpeg's warnings do not say which image they are about.
    with without_warnings():
        for slot, content in zip(range(size), contents, strict=True):
            if isinstance(content, bytes) and (small := small_size(content)):
                batch.add_small(slot, content, small)
            else:
                batch.add(slot, content)
        return batch.finished()


class _Scans:
    """Pictures that are no canonical digits; each waits for some of its shape, which takes less time."""

    def __init__(self, digits: np.ndarray, errors: list[ImageError | None]) -> None:
        self._digits = digits
        self._errors = errors
        self._waiting: dict[tuple[tuple[int, ...], np.dtype], dict[int, np.ndarray]] = {}
        self._bytes = 0

    def add(self, slot: int, pixels: np.ndarray) -> None:
        """Add a picture as `canonicalize` takes it."""
        alike = self._waiting.setdefault((pixels.shape, pixels.dtype), {})
        alike[slot] = pixels
        self._bytes += pixels.nbytes
        if self._bytes > _MOST_BYTES:
            self.finish()
        elif len(alike) == BLOCK:
            self._canonicalize(alike)

    def finish(self) -> None:
        """Canonicalize all that wait."""
        for alike in self._waiting.values():
            self._canonicalize(alike)

    def _canonicalize(self, alike: dict[int, np.ndarray]) -> None:
        outcomes = canonicalize_alike([*alike.values()])
        for slot, pixels, outcome in zip(alike, alike.values(), outcomes, strict=True):
            self._bytes -= pixels.nbytes
            if isinstance(outcome, ImageError):
                self._digits[slot], self._errors[slot] = 0, outcome
            else:
                self._digits[slot] = outcome
        alike.clear()


class _Batch:
    """Images while they are decoded; small PNGs wait until there are some."""

    def __init__(self, size: int) -> None:
        self._digits = np.zeros((size, SIDE, SIDE), np.uint8)
        self._errors: list[ImageError | None] = [None] * size
        self._scans = _Scans(self._digits, self._errors)
        self._unchecked = np.zeros(size, bool)
        self._small: dict[Size, dict[int, bytes]] = {}
        self._waiting = 0
        self._waiting_bytes = 0

    def add_small(self, slot: int, content: bytes, size: Size) -> None:
        """Add an image that has a `small_size`."""
        self._small.setdefault(size, {})[slot] = content
        self._waiting += 1
        self._waiting_bytes += size[0] * (1 + size[1])
        if self._waiting == BLOCK or self._waiting_bytes > BLOCK_BYTES:
            self._decode_small()

    def add(self, slot: int, content: Content) -> None:
        """Decode any image."""
        try:
            if not isinstance(content, bytes):
                self._digits[slot] = _digit_of(content)
                return
            header = read_header(content)
            if not header.plain:
                self._digits[slot] = GUARD.digit(content)
                return
            pixels = decode_here(content, header)
            if pixels.shape == _NATIVE and pixels.itemsize == 1:
                self._digits[slot] = pixels
                self._unchecked[slot] = True
            else:
                self._scans.add(slot, pixels)
        except ImageError as error:
            self._errors[slot] = error

    def finished(self) -> DigitBatch:
        """Return the images once all have been added."""
        self._decode_small()
        _add_unfit(self._scans, self._digits, unchecked=self._unchecked)
        self._scans.finish()
        return DigitBatch(self._digits, self._errors)

    def _decode_small(self) -> None:
        for size, waiting in self._small.items():
            slots, files = np.array([*waiting], np.int64), [*waiting.values()]
            places, pixels = decode_small(files, size)
            if size == _NATIVE:
                self._digits[slots[places]] = pixels
                self._unchecked[slots[places]] = True
            else:
                for slot, picture in zip(slots[places].tolist(), pixels, strict=True):
                    self._scans.add(slot, picture)
            for place in np.delete(np.arange(len(files)), places).tolist():
                self.add(int(slots[place]), files[place])
        self._small.clear()
        self._waiting = self._waiting_bytes = 0


def _digit_of(content: Page | ImageError) -> np.ndarray:
    outcome: Outcome = content.outcome if isinstance(content, Page) else content
    if isinstance(outcome, ImageError):
        raise outcome
    return outcome


def canonical_batch(pictures: Sequence[np.ndarray] | np.ndarray) -> DigitBatch:
    """Canonicalize decoded pictures of equal or different sizes; a bad one affects only its own slot."""
    digits = np.zeros((len(pictures), SIDE, SIDE), np.uint8)
    errors: list[ImageError | None] = [None] * len(pictures)
    scans = _Scans(digits, errors)
    if all(picture.shape == _NATIVE and picture.itemsize == 1 for picture in pictures):
        digits[:] = pictures
        _add_unfit(scans, digits, unchecked=np.ones(len(pictures), bool))
    else:
        for slot, picture in enumerate(pictures):
            scans.add(slot, np.ascontiguousarray(picture))
    scans.finish()
    return DigitBatch(digits, errors)


def _add_unfit(scans: _Scans, digits: np.ndarray, *, unchecked: np.ndarray) -> None:
    """Add the few 28 x 28 pictures that are not canonical yet.

    Checked for the whole batch at once: 35 us an image cheaper than one by one, on the path that nearly
    every image takes.
    """
    # By blocks: what is computed on the way stays in the processor's cache, and in memory that is there.
    for start in range(0, len(digits), BLOCK):
        unchecked[start : start + BLOCK] &= ~are_native(digits[start : start + BLOCK])
    for slot in np.flatnonzero(unchecked).tolist():
        scans.add(slot, digits[slot])
