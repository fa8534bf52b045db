"""Matrices of counts with shaded cells, such as confusion matrices: HTML in the page, PNG and CSV on disk."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Unpack

from digitmill.reports.charts.chart import Canvas, Caption, Chart
from digitmill.reports.charts.palette import ACCENT, DEEP, FAINT, INK, PAPER
from digitmill.reports.numbers import thousands

SHADES = 10
"""The page's classes of shades: `h0`, no image, to `h10`, all of the row."""

_DARK = 6
"""From this shade on letters are light."""


@dataclasses.dataclass(frozen=True)
class Matrix:
    """Counts by row and column.

    Attributes:
        chart: picture and numbers for the disk; the page shows the counts themselves.
        shades: of each cell, 0 to `SHADES`.
        rows: what the rows are.
        columns: what the columns are.
    """

    chart: Chart
    counts: tuple[tuple[int, ...], ...]
    shades: tuple[tuple[int, ...], ...]
    rows: str
    columns: str


def matrix(
    counts: Sequence[Sequence[int]],
    *,
    rows: str = "true digit",
    columns: str = "predicted digit",
    corner: str = "",
    **caption: Unpack[Caption],
) -> Matrix:
    """Shade counts by their share of the row.

    Args:
        counts: by row and column.
        rows: what the rows are.
        columns: what the columns are.
        corner: name of the CSV's first column; `rows` where it is empty.
    """
    shades = tuple(tuple(shade(count, row) for count in row) for row in counts)
    canvas = Canvas(xlabel=columns, ylabel=rows, height=340)
    _draw(canvas, counts, shades)
    chart = canvas.chart(
        **caption,
        alternative=caption["reading"],
        header=(corner or rows, *map(str, range(len(counts[0])))),
        rows=((number, *row) for number, row in enumerate(counts)),
        inline=False,
    )
    return Matrix(chart, tuple(map(tuple, counts)), shades, rows, columns)


def shade(count: int, row: Sequence[int]) -> int:
    """Return a cell's shade: the root of its share of the row, and at least 1 where there is an image.

    The root lets a handful of mistakes among thousands of right answers be seen.
    """
    return max(1, round(SHADES * (count / sum(row)) ** 0.5)) if count else 0


def _draw(canvas: Canvas, counts: Sequence[Sequence[int]], shades: Sequence[Sequence[int]]) -> None:
    draw_cells(canvas, shades, [(0, PAPER), (0.5, FAINT), (0.6, ACCENT), (1, DEEP)], limits=(0, SHADES))
    for row, line in enumerate(counts):
        for column, count in enumerate(line):
            if count:
                text = thousands(count)
                colour = PAPER if shades[row][column] >= _DARK else INK
                write_cell(canvas, row, column, text, colour=colour, size=8.5 if len(text) < 6 else 6.5)


def draw_cells(canvas: Canvas, shades: Any, colours: Sequence[Any], *, limits: tuple[int, int]) -> None:
    """Draw a coloured cell for each value, row 0 on top, both axes marked with the cells' numbers.

    Args:
        canvas: to draw on.
        shades: numbers by row and column.
        colours: of a colour map, from the lowest shade to the highest.
        limits: the lowest shade and the highest.
    """
    from matplotlib.colors import LinearSegmentedColormap

    axes, (low, high) = canvas.axes, limits
    colour_map = LinearSegmentedColormap.from_list("cells", list(colours))
    axes.pcolormesh(shades, cmap=colour_map, vmin=low, vmax=high, edgecolors=PAPER, linewidth=1.5)
    axes.invert_yaxis()
    for axis, size in ((axes.xaxis, len(shades[0])), (axes.yaxis, len(shades))):
        axis.set_ticks([place + 0.5 for place in range(size)], [str(place) for place in range(size)])
    axes.spines[:].set_visible(False)


def write_cell(canvas: Canvas, row: int, column: int, text: str, *, colour: str, size: float = 8.5) -> None:
    """Write a text into the middle of a cell."""
    canvas.axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=colour, fontsize=size)
