"""A chart: one drawing for page and disk, its numbers, and a sentence on what it shows."""

import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

from markupsafe import Markup

from digitmill.reports.charts.palette import INK, LINE, PAPER, SOFT
from digitmill.reports.charts.svg import for_page
from digitmill.reports.csv_table import encode_csv
from digitmill.reports.numbers import compact

if TYPE_CHECKING:  # half a second that a command without a report does not wait for
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LETTERS: Final = 11
"""Size of all letters in a drawing, points."""

WIDTH, HEIGHT = 380, 236
"""Points. So narrow that letters stay readable where a telephone shows it at 340 pixels."""

_MARGINS: Final = {"left": 54, "right": 14, "top": 30, "bottom": 42}
_DPI: Final = 160
_SETTINGS: Final[Any] = {"svg.fonttype": "none", "svg.hashsalt": "digitmill", "font.size": LETTERS}


class Caption(TypedDict):
    """The texts of a chart, given by its caller.

    Attributes:
        name: stem of the chart's files, and unique in its page.
        title: what is shown, a few words.
        reading: what it shows, one sentence.
    """

    name: str
    title: str
    reading: str


@dataclasses.dataclass(frozen=True)
class Chart:
    """One chart, with the words of its `Caption`.

    Attributes:
        alternative: text for readers who cannot see it.
        header: names of the columns of its numbers.
        rows: its numbers, as they go to a CSV.
        svg: the drawing as an element of a page; empty where the page shows a table instead.
        png: the drawing as a file.
    """

    name: str
    title: str
    reading: str
    alternative: str
    header: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    svg: Markup
    png: bytes

    def files(self) -> Iterable[tuple[str, bytes, int]]:
        """Yield name, content and number of rows of the files that the chart is on disk."""
        yield f"{self.name}.csv", encode_csv([self.header, *self.rows]), len(self.rows)
        yield f"{self.name}.png", self.png, 0


class Canvas:
    """A figure with one pair of axes, in the style of all charts; `height` is in points."""

    def __init__(self, *, xlabel: str, ylabel: str, height: int = HEIGHT) -> None:
        from matplotlib.figure import Figure

        # Not pyplot: it keeps every figure, and picks a window system where there is one. Margins are
        # given: to find them matplotlib would draw everything twice.
        self.figure: Figure = Figure(figsize=(WIDTH / 72, height / 72), facecolor=PAPER)
        self.axes: Axes = self.figure.add_axes(
            (
                _MARGINS["left"] / WIDTH,
                _MARGINS["bottom"] / height,
                1 - (_MARGINS["left"] + _MARGINS["right"]) / WIDTH,
                1 - (_MARGINS["top"] + _MARGINS["bottom"]) / height,
            )
        )
        self.axes.patch.set_alpha(0)
        self.axes.set_axisbelow(True)
        self.axes.set_xlabel(xlabel, color=SOFT, fontsize=LETTERS, labelpad=5)
        # Above the axis: horizontal, and clear of wide numbers.
        self.figure.text(6 / WIDTH, 1 - 14 / height, ylabel, color=SOFT, fontsize=LETTERS, va="center")
        self.axes.tick_params(which="both", colors=SOFT, labelsize=LETTERS, length=0, pad=5)
        for side, spine in self.axes.spines.items():
            spine.set_visible(side == "bottom")
            spine.set_color(LINE)
        self.tips: dict[str, str] = {}

    def count_up(self) -> None:
        """Format the vertical axis as counts."""
        from matplotlib.ticker import FuncFormatter

        self.axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: compact(count)))

    def percent(self, axis: Any) -> None:
        """Format an axis of shares as percentages, with as many digits as they need."""
        from matplotlib.ticker import FuncFormatter

        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(100 * value, 6):g}%"))

    def grid(self, axis: Any = "y") -> None:
        """Draw grid lines."""
        self.axes.grid(axis=axis, color=LINE, linewidth=0.7)

    def legend(self, columns: int = 4) -> None:
        """Draw the legend above the axes, so many series a row."""
        self.axes.legend(
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            ncols=columns,
            frameon=False,
            labelcolor=INK,
            fontsize=LETTERS,
            handlelength=1.2,
            columnspacing=1.1,
            borderaxespad=0.1,
        )

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point of the data lies in the drawing, in the units of its view box."""
        across, up = self.axes.transData.transform((x, y)) * 72 / self.figure.dpi
        return round(float(across), 2), round(self.figure.get_figheight() * 72 - float(up), 2)

    def chart(
        self,
        *,
        alternative: str,
        header: Sequence[str],
        rows: Iterable[Sequence[object]],
        inline: bool = True,
        **caption: Unpack[Caption],
    ) -> Chart:
        """Return what was drawn; `inline` says whether a page shows the drawing."""
        png, svg = draw(self.figure, name=caption["name"], tips=self.tips, inline=inline)
        cells = tuple(map(tuple, rows))
        return Chart(**caption, alternative=alternative, header=tuple(header), rows=cells, svg=svg, png=png)


def draw(figure: "Figure", *, name: str, tips: Mapping[str, str], inline: bool) -> tuple[bytes, Markup]:
    """Return a figure as PNG and, for a page, as SVG.

    Both are reproducible: no date goes in.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    png, svg = io.BytesIO(), io.StringIO()
    with rc_context(_SETTINGS):
        FigureCanvasAgg(figure)
        figure.savefig(png, format="png", dpi=_DPI, metadata={"Software": None})
        if not inline:
            return png.getvalue(), Markup()
        figure.patch.set_alpha(0)
        FigureCanvasSVG(figure)
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    return png.getvalue(), for_page(svg.getvalue(), name=name, tips=tips)
