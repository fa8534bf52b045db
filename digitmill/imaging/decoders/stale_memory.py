"""Detects pixels that a decoder did not set, which show old memory content."""

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from digitmill.imaging.headers.image_kinds import corrupt

_M_PERTURB: Final = -6
"""glibc's option that fills memory with a byte's complement when it is allocated; 0 turns it off."""

_FILLINGS: Final = (0x55, 0xAA)
"""Each bit differs."""

# Other C libraries lack it, and then differences are found only by chance.
_mallopt: Final = getattr(ctypes.CDLL(None), "mallopt", None)


def decoded_whole(decode: Callable[[], np.ndarray]) -> np.ndarray:
    """Call `decode` twice, with different initial memory, to detect pixels that it does not set.

    Raises:
        ImageError: CORRUPT when the results differ.
    """
    with _filled_memory(_FILLINGS[0]):
        first = decode()
    with _filled_memory(_FILLINGS[1]):
        second = decode()
    if not np.array_equal(first, second):
        raise corrupt("a picture with lines that cannot be decoded")
    return first


@contextlib.contextmanager
def _filled_memory(byte: int) -> Iterator[None]:
    if _mallopt is None:
        yield
        return
    _mallopt(_M_PERTURB, byte)
    try:
        yield
    finally:
        _mallopt(_M_PERTURB, 0)
