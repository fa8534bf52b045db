"""Draws scans: MNIST's digits larger, off-center, on white or grainy paper, as PNG or JPEG."""

import dataclasses
import pathlib
from typing import Final

import cv2
import numpy as np

from benchmarks import workspace

_SHARE: Final = 0.6
"""Side of the digit's own picture, share of the scan's."""

_INK: Final = 0.85

_FORMATS: Final = {".png": "PNG", ".jpg": "JPEG"}


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of scan.

    Attributes:
        side: pixels.
        suffix: of the files, which tells the format.
        paper: gray level.
        grain: standard deviation of the paper, gray levels.
    """

    side: int
    suffix: str = ".png"
    paper: int = 255
    grain: float = 0

    @property
    def name(self) -> str:
        """The kind in words."""
        paper = "grainy" if self.grain else "clean"
        return f"{self.side} px {_FORMATS[self.suffix]}, {paper}"

    def draw(self, digit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return uint8[side, side], the scan of a digit uint8[28, 28]."""
        size = round(_SHARE * self.side)
        ink = cv2.resize(digit, (size, size), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
        top, left = rng.integers(0, self.side - size + 1, 2)
        scan = self.paper + self.grain * rng.standard_normal((self.side, self.side), np.float32)
        scan[top : top + size, left : left + size] *= 1 - _INK * ink
        return np.clip(scan, 0, 255).astype(np.uint8)


_GRAINY: Final = 215, 5.0
KINDS: Final = (
    Kind(28, ".jpg", *_GRAINY),
    Kind(64),
    Kind(64, ".png", *_GRAINY),
    Kind(64, ".jpg", *_GRAINY),
    Kind(128, ".png", *_GRAINY),
    Kind(256, ".png", *_GRAINY),
)
COMPARED: Final = tuple(kind for kind in KINDS if kind.suffix == ".jpg" or kind.side == 256)
"""Those that whole runs score, beside plain Keras."""


def files(kind: Kind, count: int) -> list[bytes]:
    """Return so many scans as files."""
    rng = np.random.default_rng(0)
    drawn = (kind.draw(digit, rng) for digit in workspace.digits(count)[0])
    return [cv2.imencode(kind.suffix, scan)[1].tobytes() for scan in drawn]


def write(kind: Kind, folder: pathlib.Path, count: int) -> None:
    """Write scans as FOLDER/LABEL/NUMBER.SUFFIX."""
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
    for number, (data, label) in enumerate(zip(files(kind, count), workspace.digits(count)[1], strict=True)):
        (folder / str(label) / f"{number:06d}{kind.suffix}").write_bytes(data)
