"""Histograms of ink statistics: in a model card as the reference, in a scoring run as its counts."""

import dataclasses
from typing import Final

INK_BINS: Final = 32
"""Number of equal-width bins per measure; larger values count in the last bin."""

UPPER_BOUNDS: Final = {
    "ink_shares": 0.4,
    "stroke_widths": 4.0,
    "horizontal_edges": 128.0,
    "vertical_edges": 128.0,
}
"""Upper end of the last bin of each measure."""

_NONE: Final = (0,) * INK_BINS


@dataclasses.dataclass(frozen=True)
class InkCounts:
    """Histograms of canonical digits by statistics of their ink; all zero if unknown.

    Attributes:
        ink_shares: by mean gray level, as a share of 255.
        stroke_widths: by stroke width, in pixels.
        horizontal_edges: by number of edges between ink and paper from one row to the next.
        vertical_edges: by number of such edges from one column to the next.
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
        """Number of images counted."""
        return sum(self.ink_shares)
