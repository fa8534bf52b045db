"""Reads the pages of files that may have several: TIFF, animations, documents."""

from typing import Final, NamedTuple

import numpy as np

from digitmill.imaging.decode import decode
from digitmill.imaging.guard import GUARD, Outcome
from digitmill.imaging.headers.header import read_header
from schemas.failure import FailureCode, ImageError

_PNG: Final = b"\x89PNG"
_JPEG: Final = b"\xff\xd8\xff"
_PIXELS: Final = b"IDAT"
_ANIMATION: Final = b"acTL"

HEAD: Final = slice(0, 38, 37)
"""A file's first byte, and that with which the name of a PNG's second chunk begins."""

STILL_PNG: Final = b"\x89I"
"""The `HEAD` of a PNG with nothing before its pixels: what makes an animation of it would stand there."""


class Page(NamedTuple):
    """A decoded page of a file.

    Attributes:
        data: the file's bytes, shared by its pages.
        number: page number, from 0.
        outcome: the canonical digit, uint8[28, 28], or the error.
    """

    data: bytes
    number: int
    outcome: Outcome


Content = bytes | Page | ImageError
"""An image: a file's bytes, of which the first page counts, or a page; or why it could not be read."""


def may_have_pages(data: bytes) -> bool:
    """Whether a file may have several pages; false for JPEGs and for PNGs without animation."""
    if data.startswith(_PNG):
        return data[HEAD] != STILL_PNG and data.find(_ANIMATION, 0, data.find(_PIXELS)) >= 0
    return not data.startswith(_JPEG)


def read_pages(data: bytes) -> list[Content]:
    """Return a file's pages: the first `MAX_PAGES`, and one error for the rest if there are more.

    If the pages cannot be counted, the result is one error; for a file without pages, the file itself.

    Raises:
        WorkerError: when the decoder process cannot start, or is killed repeatedly.
    """
    try:
        if read_header(data).plain:
            return [data]
    except ImageError as error:
        return [error]
    count, outcomes = GUARD.digits(data)
    pages: list[Content] = [Page(data, number, outcome) for number, outcome in enumerate(outcomes)]
    if count > len(pages):
        pages.append(
            ImageError(FailureCode.TOO_LARGE, f"{count:,} pages; the first {len(pages):,} were read")
        )
    return pages


def pixels_of(content: bytes | Page) -> np.ndarray:
    """Return the pixels of an image, in the form of `decode`.

    Raises:
        ImageError: as in `decode`.
    """
    return GUARD.pixels(content.data, content.number) if isinstance(content, Page) else decode(content)
