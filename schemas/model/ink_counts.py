"""Images by what their ink looks like: the reference in a model card, and the counts of a scoring run."""

import dataclasses
from typing import Final

INK_BINS: Final = 32
"""Bins of each measure, of equal width; what is beyond the last one counts there."""

UPPER_BOUNDS: Final = {
    "ink_shares": 0.4,
    "stroke_widths": 4.0,
    "horizontal_edges": 128.0,
    "vertical_edges": 128.0,
}
"""Where the last bin of each measure ends."""

_NONE: Final = (0,) * INK_BINS


@dataclasses.dataclass(frozen=True)
class InkCounts:
    """Canonical digits by statistics of their ink; all zero where they are not known.

    Attributes:
        ink_shares: by mean gray level, a share of 255.
        stroke_widths: by width of the strokes, pixels.
        horizontal_edges: by pixels that differ from the pixel above or below, of ink or not.
        vertical_edges: by pixels that differ from the pixel beside.
    """

    ink_shares: tuple[int, ...] = _NONE
    stroke_widths: tuple[int, ...] = _NONE
    horizontal_edges: tuple[int, ...] = _NONE
    vertical_edges: tuple[int, ...] = _NONE

    def __post_init__(self) -> None:
        images = {sum(counts) for counts in vars(self).values()}
        if {len(counts) for counts in vars(self).values()} != {INK_BINS} or len(images) != 1:
            raise ValueError(f"ink is not counted in {INK_BINS} bins a measure, of the same images")

    @property
    def images(self) -> int:
        """Number of images that were counted."""
        return sum(self.ink_shares)
