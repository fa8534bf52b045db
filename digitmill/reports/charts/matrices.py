"""Tables of counts with a shade for each cell: in the page as HTML, on disk as a picture and a CSV."""

import dataclasses
from collections.abc import Sequence

from digitmill.reports.charts.chart import Canvas, Chart
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
        counts: by row and column.
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
    name: str,
    title: str,
    reading: str,
    rows: str = "true digit",
    columns: str = "predicted digit",
    corner: str = "",
) -> Matrix:
    """Shades counts by their share of the row.

    Args:
        counts: by row and column.
        name: stem of the files.
        title: what is shown.
        reading: what it says.
        rows: what the rows are.
        columns: what the columns are.
        corner: name of the CSV's first column; what the rows are, else.
    """
    shades = tuple(tuple(shade(count, row) for count in row) for row in counts)
    canvas = Canvas(xlabel=columns, ylabel=rows, height=340)
    _draw(canvas, counts, shades)
    chart = canvas.chart(
        name,
        title=title,
        reading=reading,
        alternative=reading,
        header=(corner or rows, *map(str, range(len(counts[0])))),
        rows=((number, *row) for number, row in enumerate(counts)),
        inline=False,
    )
    return Matrix(chart, tuple(map(tuple, counts)), shades, rows, columns)


def shade(count: int, row: Sequence[int]) -> int:
    """Returns a cell's shade: the root of its share of the row, and at least 1 where there is an image.

    The root lets a handful of mistakes among thousands of right answers be seen.
    """
    return max(1, round(SHADES * (count / sum(row)) ** 0.5)) if count else 0


def _draw(canvas: Canvas, counts: Sequence[Sequence[int]], shades: Sequence[Sequence[int]]) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    axes = canvas.axes
    axes.pcolormesh(
        shades,
        cmap=LinearSegmentedColormap.from_list("calm", [(0, PAPER), (0.5, FAINT), (0.6, ACCENT), (1, DEEP)]),
        vmin=0,
        vmax=SHADES,
        edgecolors=PAPER,
        linewidth=1.5,
    )
    for number, row in enumerate(counts):
        for place, count in enumerate(row):
            if count:
                colour = PAPER if shades[number][place] >= _DARK else INK
                text = thousands(count)
                size = 8.5 if len(text) < 6 else 6.5
                axes.text(
                    place + 0.5, number + 0.5, text, ha="center", va="center", color=colour, fontsize=size
                )
    axes.invert_yaxis()
    for axis, size in ((axes.xaxis, len(counts[0])), (axes.yaxis, len(counts))):
        axis.set_ticks([place + 0.5 for place in range(size)], [str(place) for place in range(size)])
    axes.spines[:].set_visible(False)
