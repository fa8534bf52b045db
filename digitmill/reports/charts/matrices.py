"""Matrices of counts with shaded cells, such as confusion matrices: HTML in pages, PNG and CSV files."""

import dataclasses
from collections.abc import Sequence
from typing import Unpack

from digitmill.reports.charts.chart import Canvas, Caption, Chart
from digitmill.reports.charts.palette import ACCENT, DEEP, FAINT, INK, PAPER, blend
from digitmill.reports.charts.scales import Linear
from digitmill.reports.numbers import thousands

SHADES = 10
"""Number of the darkest shade: CSS classes `h0`, for no images, to `h10`, for all of the row."""

_DARK = 6
"""From this shade on, letters are light."""


@dataclasses.dataclass(frozen=True)
class Matrix:
    """Counts by row and column.

    Attributes:
        chart: picture and numbers for files; the page shows a table of counts.
        shades: shade of each cell, 0 to `SHADES`.
        rows: name of the rows.
        columns: name of the columns.
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
        counts: counts by row and column.
        rows: name of the rows.
        columns: name of the columns.
        corner: name of the CSV's first column; `rows` if empty.
    """
    shades = tuple(tuple(shade(count, row) for count in row) for row in counts)
    colors = [[_COLORS[cell] for cell in row] for row in shades]
    canvas = draw_cells(colors, xlabel=columns, ylabel=rows)
    _write_counts(canvas, counts, shades)
    chart = canvas.chart(
        **caption,
        alternative=caption["reading"],
        header=(corner or rows, *map(str, range(len(counts[0])))),
        rows=((number, *row) for number, row in enumerate(counts)),
        inline=False,
    )
    return Matrix(chart, tuple(map(tuple, counts)), shades, rows, columns)


def shade(count: int, row: Sequence[int]) -> int:
    """Return a cell's shade: proportional to the root of its share of the row, at least 1 if not empty.

    The root makes a few mistakes visible among thousands of right predictions.
    """
    return max(1, round(SHADES * (count / sum(row)) ** 0.5)) if count else 0


def _write_counts(canvas: Canvas, counts: Sequence[Sequence[int]], shades: Sequence[Sequence[int]]) -> None:
    for row, line in enumerate(counts):
        for column, count in enumerate(line):
            if count:
                text = thousands(count)
                color = PAPER if shades[row][column] >= _DARK else INK
                write_cell(canvas, row, column, text, color=color, size=8.5 if len(text) < 6 else 6.5)


def draw_cells(colors: Sequence[Sequence[str]], *, xlabel: str, ylabel: str) -> Canvas:
    """Draw a cell for each color, row 0 on top, with row and column numbers on the axes."""
    rows, columns = len(colors), len(colors[0])
    # Rows are counted from the top.
    canvas = Canvas(Linear(0, columns), Linear(-rows, 0), xlabel=xlabel, ylabel=ylabel, height=340)
    for row, line in enumerate(colors):
        canvas.write_y(-row - 0.5, str(row))
        for column, color in enumerate(line):
            canvas.box(column + _BORDER, -row - 1 + _BORDER, column + 1 - _BORDER, -row - _BORDER, color)
    for column in range(columns):
        canvas.write_x(column + 0.5, str(column))
    return canvas


def write_cell(canvas: Canvas, row: int, column: int, text: str, *, color: str, size: float = 8.5) -> None:
    """Write a text in the middle of a cell."""
    canvas.words(column + 0.5, -row - 0.5, text, color, size)


_BORDER = 0.025
"""Border around a cell, as a share of its size."""

_COLORS = tuple(
    blend(PAPER, FAINT, shade / 5) if shade <= 5 else blend(ACCENT, DEEP, (shade - 6) / 4)
    for shade in range(SHADES + 1)
)
"""The color of each shade in a PNG, the same as in the page's style sheet."""
