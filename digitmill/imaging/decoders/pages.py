"""Shared by decoders: the interface of a file's pages, limits, and wording of damage."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import numpy as np

from digitmill.imaging.headers.image_kinds import Kind
from digitmill.imaging.limits import MAX_PIXELS
from schemas.failure import FailureCode, ImageError

MOST_PAGES: Final = 100_000
"""Files that claim more pages are rejected: one of 32 MB can claim five million."""

MAX_PAGE_BYTES: Final = 8 * MAX_PIXELS
"""Pages whose samples take more memory are rejected undecoded: 16 megapixels of four 16-bit samples fit."""

_UNSUPPORTED: Final = ("unsupported", "not supported", "not implemented", "cannot decode")
"""How decoders' messages say that a file is whole and of an unknown variant."""


class Pages(Protocol):
    """The pictures in a file, decoded one at a time."""

    @property
    def count(self) -> int:
        """Number of pictures, at least 1."""

    def pixels(self, number: int) -> np.ndarray:
        """Return a picture, counted from 0, turned upright.

        Returns:
            uint8 or uint16 array [height, width] of gray, or [height, width, 3 or 4] in the order blue,
            green, red, opacity.

        Raises:
            ImageError: UNSUPPORTED, TOO_LARGE or CORRUPT; other pages of the file may be whole.
        """


class OnePage:
    """A file of one picture."""

    count = 1

    def __init__(self, decode: Callable[[], np.ndarray]) -> None:
        self._decode = decode

    def pixels(self, number: int) -> np.ndarray:
        """Return the picture; see `Pages`."""
        return self._decode()


def check_size(kind: Kind, width: int, height: int) -> None:
    """Raise an ImageError for a page without pixels, or with too many."""
    if width * height > MAX_PIXELS:
        raise ImageError(
            FailureCode.TOO_LARGE,
            f"a {kind} of {width:,} x {height:,} pixels; at most {MAX_PIXELS:,} are decoded",
        )
    if min(width, height) < 1:
        raise ImageError(FailureCode.CORRUPT, f"a {kind} of {width} x {height} pixels")


def check_count(kind: Kind, count: int) -> int:
    """Return the number of pages; raise an ImageError if there are none or too many."""
    if count > MOST_PAGES:
        raise ImageError(
            FailureCode.TOO_LARGE, f"a {kind} of {count:,} pages; at most {MOST_PAGES:,} are counted"
        )
    if count < 1:
        raise ImageError(FailureCode.CORRUPT, f"a {kind} without a picture")
    return count


@contextlib.contextmanager
def reported(kind: Kind) -> Iterator[None]:
    """Context manager that converts a decoder's exceptions into an `ImageError`.

    Parsers of damaged files raise nearly anything: struct.error, IndexError, TypeError, ZeroDivisionError,
    and their own errors. MemoryError is left to the caller.
    """
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        text = f"{error}" or type(error).__name__
        unsupported = isinstance(error, NotImplementedError) or any(
            word in text.lower() for word in _UNSUPPORTED
        )
        code = FailureCode.UNSUPPORTED if unsupported else FailureCode.CORRUPT
        condition = "an unsupported" if unsupported else "a truncated or damaged"
        raise ImageError(code, f"{condition} {kind}: {text[:200]}") from error
