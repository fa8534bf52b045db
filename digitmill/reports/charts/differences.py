"""The difference of two tables of counts: what became more, what became less, and whether that is good."""

import dataclasses
from collections.abc import Sequence
from typing import Final

from digitmill.reports.charts.chart import Canvas, Chart
from digitmill.reports.charts.palette import FAIL, INK, PAPER, THIRD

SHADES: Final = 5
"""The page's classes of shades either way: `better1` to `better5`, `worse1` to `worse5`."""

_DARKEST: Final = 0.4
"""Share of the colour in the darkest shade: letters stay dark on all of them."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """How many more images a cell has in the second table than in the first.

    Attributes:
        chart: picture and numbers for the disk; the page shows the numbers themselves.
        cells: by true and predicted class: the number with its sign, empty for none, and the class
            of its shade, empty for none.
    """

    chart: Chart
    cells: tuple[tuple[tuple[str, str], ...], ...]


def difference(
    first: Sequence[Sequence[int]],
    second: Sequence[Sequence[int]],
    *,
    name: str,
    title: str,
    reading: str,
) -> Difference:
    """Takes one confusion matrix from another: more is better on the diagonal and worse beside it.

    Args:
        first: images by true class (row) and predicted class (column).
        second: the same of another model.
        name: stem of the files.
        title: what is shown.
        reading: what it says.
    """
    more = _more(first, second)
    shades = worths(first, second)
    canvas = Canvas(xlabel="predicted digit", ylabel="true digit", height=340)
    _draw(canvas, more, shades)
    chart = canvas.chart(
        name,
        title=title,
        reading=reading,
        alternative=reading,
        header=("true digit", *map(str, range(len(more)))),
        rows=((row, *counts) for row, counts in enumerate(more)),
        inline=False,
    )
    cells = (
        tuple((signed(count), _class(shade)) for count, shade in zip(*pair, strict=True))
        for pair in zip(more, shades, strict=True)
    )
    return Difference(chart, tuple(cells))


def worths(first: Sequence[Sequence[int]], second: Sequence[Sequence[int]]) -> list[list[int]]:
    """Returns each cell's shade, -`SHADES` where it became worse by most, to `SHADES`, better."""
    more = _more(first, second)
    most = max(1, *(abs(count) for counts in more for count in counts))
    return [
        [_shade(count if row == column else -count, most) for column, count in enumerate(counts)]
        for row, counts in enumerate(more)
    ]


def _more(first: Sequence[Sequence[int]], second: Sequence[Sequence[int]]) -> list[list[int]]:
    return [
        [there - here for here, there in zip(*rows, strict=True)] for rows in zip(first, second, strict=True)
    ]


def signed(count: int) -> str:
    """Returns a count with its sign, `+3`, `−2`; nothing for 0."""
    return f"{count:+,}".replace("-", "\N{MINUS SIGN}") if count else ""


def _shade(value: int, most: int) -> int:
    """Returns -`SHADES`, worst, to `SHADES`, best; 0 only where nothing differs."""
    size = max(1, round(SHADES * (abs(value) / most) ** 0.5)) if value else 0
    return size if value > 0 else -size


def _class(shade: int) -> str:
    return "" if not shade else f"better{shade}" if shade > 0 else f"worse{-shade}"


def _draw(canvas: Canvas, more: Sequence[Sequence[int]], shades: Sequence[Sequence[int]]) -> None:
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    paper = to_rgb(PAPER)
    ends = [
        tuple(
            _DARKEST * part + (1 - _DARKEST) * white
            for part, white in zip(to_rgb(colour), paper, strict=True)
        )
        for colour in (FAIL, THIRD)
    ]
    axes, size = canvas.axes, len(more)
    axes.pcolormesh(
        shades,
        cmap=LinearSegmentedColormap.from_list("either way", [ends[0], paper, ends[1]]),
        vmin=-SHADES,
        vmax=SHADES,
        edgecolors=PAPER,
        linewidth=1.5,
    )
    for row, counts in enumerate(more):
        for column, count in enumerate(counts):
            axes.text(
                column + 0.5, row + 0.5, signed(count), ha="center", va="center", color=INK, fontsize=8.5
            )
    axes.invert_yaxis()
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([place + 0.5 for place in range(size)], [str(place) for place in range(size)])
    axes.spines[:].set_visible(False)
