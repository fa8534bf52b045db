"""Pictures that variants of formats hold, of odd sizes so that padding shows, and what a variant is."""

import dataclasses
from typing import Final

import cv2
import numpy as np

from schemas.failure import FailureCode

ROWS, COLUMNS = 37, 45


def _drawn(digit: str, paper: np.ndarray) -> np.ndarray:
    ink = cv2.putText(np.zeros(paper.shape, np.uint8), digit, (8, 33), cv2.FONT_HERSHEY_SIMPLEX, 1.4, 255, 5)
    return np.where(ink > 0, (paper * (1 - ink / 255)).astype(np.uint8), paper)


_RISE = np.arange(COLUMNS, dtype=np.uint8)[None, :]
_FALL = np.arange(ROWS, dtype=np.uint8)[:, None]

GRAY: Final = _drawn("7", (200 + _RISE + 0 * _FALL).astype(np.uint8))
"""uint8[37, 45]: a dark digit on paper that gets lighter."""

COLOR: Final = np.dstack(
    [
        _drawn("2", (150 + _RISE + 0 * _FALL)),
        _drawn("2", (180 + 2 * _FALL + 0 * _RISE)),
        _drawn("2", GRAY // 2 + 90),
    ]
)
"""uint8[37, 45, 3] in the order blue, green, red."""

CLEAR: Final = np.dstack([COLOR, (255 - 3 * _RISE + 0 * _FALL).astype(np.uint8)])
"""The same with opacity, 123 to 255."""

HALF: Final = np.dstack([COLOR, np.where(_RISE + 0 * _FALL < 20, 0, 255).astype(np.uint8)])
"""The same, one part transparent."""

INK: Final = ((GRAY < 128) * 255).astype(np.uint8) ^ 255
"""Black and white."""

NEXT: Final = _drawn("4", np.full((ROWS, COLUMNS), 240, np.uint8))
"""Another picture, for second pages."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """A file, and what is to come of it.

    Attributes:
        kind: as in the table of docs.
        family: variants that share a verdict, a row of the table.
        name: what is special about this one.
        pages: the pictures, as `Pages.pixels` returns them in 8 bits, or the failure's code.
        tolerance: of each sample, levels.
    """

    kind: str
    family: str
    name: str
    data: bytes
    pages: list[np.ndarray] | FailureCode
    tolerance: float = 1.01

    def __str__(self) -> str:
        return f"{self.kind}, {self.family}: {self.name}"


def rgb(picture: np.ndarray) -> np.ndarray:
    """Return a picture in the order in which other libraries take it: red, green, blue, opacity."""
    return picture if picture.ndim == 2 else picture[..., [2, 1, 0, 3][: picture.shape[2]]]


def deep(picture: np.ndarray, bits: int = 16) -> np.ndarray:
    """Return a picture in another depth."""
    return np.rint(picture.astype(np.float64) * (2**bits - 1) / 255).astype(
        np.uint16 if bits > 8 else np.uint8
    )


def quantised(picture: np.ndarray, bits: int) -> np.ndarray:
    """Return what is left of a picture after a depth of less than 8 bits."""
    return np.rint(deep(picture, bits) * (255 / (2**bits - 1))).astype(np.uint8)
