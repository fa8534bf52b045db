"""A chart: one drawing for page and file, its numbers, and a sentence on what it shows."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypedDict, Unpack

from markupsafe import Markup

from digitmill.reports.charts.drawing import Area, Dot, Drawing, Line, Mark, Point, Words, text_width
from digitmill.reports.charts.palette import INK, LINE, SOFT
from digitmill.reports.charts.scales import Scale
from digitmill.reports.csv_table import encode_csv

LETTERS: Final = 11
"""Size of all letters in a drawing, in points."""

WIDTH, HEIGHT = 380, 236
"""Size in points, narrow enough that letters are readable on a phone at 340 pixels."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 20, 30, 42
"""Margins around the axes, in points."""

_HANDLE, _GAP, _APART = 13, 6, 13
"""Parts of a legend, in points: width of a mark, space after it, space after a word."""


class Caption(TypedDict):
    """The texts of a chart, given by its caller.

    Attributes:
        name: stem of the chart's file names, unique in its page.
        title: what is shown, in a few words.
        reading: what it shows, in one sentence.
    """

    name: str
    title: str
    reading: str


@dataclasses.dataclass(frozen=True)
class Chart:
    """One chart, with the texts of its `Caption`.

    Attributes:
        alternative: text for readers who cannot see it.
        header: column names of its numbers.
        rows: its numbers, as rows of a CSV.
        svg: the drawing as an SVG element; empty if the page shows a table instead.
        drawing: the drawing for the file.
    """

    name: str
    title: str
    reading: str
    alternative: str
    header: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    svg: Markup
    drawing: Drawing

    @property
    def png(self) -> bytes:
        """The drawing as a PNG, painted on each access."""
        return self.drawing.png(self.title)

    def files(self) -> Iterable[tuple[str, bytes, int]]:
        """Yield name, content and number of rows of the chart's files."""
        yield f"{self.name}.csv", encode_csv([self.header, *self.rows]), len(self.rows)
        yield f"{self.name}.png", self.png, 0


@dataclasses.dataclass(frozen=True)
class Entry:
    """A series in a legend: its line, or a box if it has no width."""

    label: str
    color: str
    width: float | None = None
    dashes: tuple[float, float] | None = None

    def handle(self, x: float, y: float) -> Mark:
        """Return the legend mark of the series, whose left end is at the given position."""
        if self.width is None:
            return Area.box(x, y - 4, x + _HANDLE, y + 4, self.color)
        return Line([(x, y), (x + _HANDLE, y)], self.color, self.width, self.dashes)


class Canvas:
    """A pair of axes in the style of all charts; values outside a scale are drawn at its end.

    Args:
        x: scale from left to right.
        y: scale from bottom to top.
        xlabel: label of the horizontal axis.
        ylabel: label of the vertical axis.
        height: height in points.
    """

    def __init__(self, x: Scale, y: Scale, *, xlabel: str, ylabel: str, height: int = HEIGHT) -> None:
        self._x, self._y = x, y
        self._bottom = height - _BOTTOM
        self.drawing = Drawing(WIDTH, height)
        middle = (_LEFT + WIDTH - _RIGHT) / 2
        self.drawing.add(Words((middle, height - 15), xlabel, SOFT, LETTERS, "middle"))
        # Place the label above the axis: horizontal, and clear of wide numbers.
        self.drawing.add(Words((6, 14), ylabel, SOFT, LETTERS))

    def place(self, x: float, y: float) -> Point:
        """Return the position of a data point in the drawing, in units of its view box."""
        across = _LEFT + self._x.place(x) * (WIDTH - _RIGHT - _LEFT)
        up = self._bottom - self._y.place(y) * (self._bottom - _TOP)
        return round(across, 2), round(up, 2)

    def mark_x(self, form: Callable[[float], str], *, grid: bool = False) -> None:
        """Write numbers below the axis, with grid lines if asked for."""
        for value in self._x.ticks():
            x, _ = self.place(value, self._y.low)
            if grid:
                self.drawing.add(Line([(x, _TOP), (x, self._bottom)], LINE, 0.7))
            self.write_x(value, form(value))

    def mark_y(self, form: Callable[[float], str]) -> None:
        """Write numbers beside the axis, each with a grid line, and draw the horizontal axis."""
        for value in self._y.ticks():
            _, y = self.place(self._x.low, value)
            self.drawing.add(Line([(_LEFT, y), (WIDTH - _RIGHT, y)], LINE, 0.7))
            self.write_y(value, form(value))
        self.base()

    def base(self) -> None:
        """Draw the horizontal axis."""
        self.drawing.add(Line([(_LEFT, self._bottom), (WIDTH - _RIGHT, self._bottom)], LINE, 0.8))

    def write_x(self, value: float, text: str) -> None:
        """Write a text below a position on the horizontal axis."""
        x, _ = self.place(value, self._y.low)
        self.drawing.add(Words((x, self._bottom + 10), text, SOFT, LETTERS, "middle"))

    def write_y(self, value: float, text: str) -> None:
        """Write a text beside a position on the vertical axis."""
        _, y = self.place(self._x.low, value)
        self.drawing.add(Words((_LEFT - 5, y), text, SOFT, LETTERS, "end"))

    def line(
        self,
        points: Iterable[tuple[float, float]],
        color: str,
        width: float = 1.8,
        *,
        dashes: tuple[float, float] | None = None,
    ) -> None:
        """Draw a line through data points; `dashes` are the lengths of dash and gap in points."""
        self.drawing.add(Line([self.place(x, y) for x, y in points], color, width, dashes))

    def bar(self, left: float, right: float, value: float, color: str, *, name: str, tip: str) -> None:
        """Draw a bar from the axis up to a value."""
        (x0, y0), (x1, y1) = self.place(left, self._y.low), self.place(right, value)
        self.drawing.add(Area.box(x0, y1, x1, y0, color), name=name, tip=tip)

    def box(self, left: float, low: float, right: float, high: float, color: str) -> None:
        """Draw a filled rectangle."""
        (x0, y0), (x1, y1) = self.place(left, low), self.place(right, high)
        self.drawing.add(Area.box(x0, min(y0, y1), x1, max(y0, y1), color))

    def band(self, at: Sequence[float], low: Sequence[float], high: Sequence[float], color: str) -> None:
        """Fill the area between two lines."""
        there = [*zip(at, high, strict=True), *reversed([*zip(at, low, strict=True)])]
        self.drawing.add(Area([self.place(x, y) for x, y in there], color))

    def dot(
        self,
        x: float,
        y: float,
        color: str,
        size: float,
        *,
        name: str,
        tip: str = "",
        ring: float | None = None,
    ) -> None:
        """Draw a dot, with `size` as its diameter in points; a ring if `ring`, its width, is given."""
        self.drawing.add(Dot(self.place(x, y), size / 2, color, ring), name=name, tip=tip)

    def words(self, x: float, y: float, text: str, color: str, size: float = LETTERS) -> None:
        """Write a text centered at a data point."""
        self.drawing.add(Words(self.place(x, y), text, color, size, "middle"))

    def legend(self, entries: Sequence[Entry], columns: int = 4) -> None:
        """Draw the legend above the axes, with up to `columns` entries per row."""
        rows = [entries[start : start + columns] for start in range(0, len(entries), columns)]
        for number, row in enumerate(reversed(rows)):
            widths = [_HANDLE + _GAP + text_width(entry.label, LETTERS) + _APART for entry in row]
            x, y = WIDTH - _RIGHT + _APART - sum(widths), _TOP - 13 - number * 1.3 * LETTERS
            for entry, width in zip(row, widths, strict=True):
                self.drawing.add(entry.handle(x, y))
                self.drawing.add(Words((x + _HANDLE + _GAP, y), entry.label, INK, LETTERS))
                x += width

    def chart(
        self,
        *,
        alternative: str,
        header: Sequence[str],
        rows: Iterable[Sequence[object]],
        inline: bool = True,
        **caption: Unpack[Caption],
    ) -> Chart:
        """Return the chart; `inline` is whether a page shows the drawing."""
        cells = tuple(map(tuple, rows))
        svg = self.drawing.svg(caption["name"]) if inline else Markup()
        drawing = self.drawing
        return Chart(
            **caption, alternative=alternative, header=tuple(header), rows=cells, svg=svg, drawing=drawing
        )


def percent(value: float) -> str:
    """Return a share as a percentage for axes, with as many digits as needed."""
    return f"{round(100 * value, 6):g}%"
