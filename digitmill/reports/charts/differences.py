"""The difference of two confusion matrices: which cells have more or fewer images, and if that is good."""

import dataclasses
from collections.abc import Sequence
from typing import Final, Unpack

import numpy as np

from digitmill.reports.charts.chart import Caption, Chart
from digitmill.reports.charts.matrices import draw_cells, write_cell
from digitmill.reports.charts.palette import FAIL, INK, PAPER, THIRD, blend

SHADES: Final = 5
"""Number of shades in each direction: CSS classes `better1` to `better5` and `worse1` to `worse5`."""

_DARKEST: Final = 0.4
"""Share of the color in the darkest shade, light enough for dark letters."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """How many more images a cell has in the second table than in the first.

    Attributes:
        chart: picture and numbers for files; the page shows a table of numbers.
        cells: by true and predicted class, the number with its sign and the CSS class of its shade; both
            are empty for 0.
    """

    chart: Chart
    cells: tuple[tuple[tuple[str, str], ...], ...]


def difference(
    first: Sequence[Sequence[int]],
    second: Sequence[Sequence[int]],
    **caption: Unpack[Caption],
) -> Difference:
    """Subtract one confusion matrix from another: more is better on the diagonal, and worse elsewhere.

    Args:
        first: images by true class (row) and predicted class (column).
        second: the same for another model.
    """
    change, shades = np.subtract(second, first), cell_shades(first, second)
    words = [[signed(count) for count in row] for row in change.tolist()]
    colors = [list(map(_color, row)) for row in shades.tolist()]
    canvas = draw_cells(colors, xlabel="predicted digit", ylabel="true digit")
    for (row, column), _ in np.ndenumerate(shades):
        write_cell(canvas, row, column, words[row][column], color=INK)
    chart = canvas.chart(
        **caption,
        alternative=caption["reading"],
        header=("true digit", *map(str, range(len(change)))),
        rows=((number, *row) for number, row in enumerate(change.tolist())),
        inline=False,
    )
    cells = (zip(row, map(_css_class, shade), strict=True) for row, shade in zip(words, shades, strict=True))
    return Difference(chart, tuple(map(tuple, cells)))


def cell_shades(first: Sequence[Sequence[int]], second: Sequence[Sequence[int]]) -> np.ndarray:
    """Return each cell's shade, from -`SHADES` (much worse) to `SHADES` (much better); 0 only if equal."""
    change = np.subtract(second, first)
    size = np.maximum(1, np.round(SHADES * np.sqrt(np.abs(change) / max(1, np.abs(change).max()))))
    gain = np.where(np.eye(len(change), dtype=bool), change, -change)
    return (np.sign(gain) * size).astype(int)


def signed(count: int) -> str:
    """Return a count with its sign, `+3`, `−2`; empty for 0."""
    return f"{count:+,}".replace("-", "\N{MINUS SIGN}") if count else ""


def _css_class(shade: int) -> str:
    return "" if not shade else f"better{shade}" if shade > 0 else f"worse{-shade}"


def _color(shade: int) -> str:
    return blend(PAPER, THIRD if shade > 0 else FAIL, _DARKEST * abs(shade) / SHADES)
