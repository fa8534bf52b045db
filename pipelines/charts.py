"""Charts as SVG text that takes its colours from the page around it."""

import io
from collections.abc import Sequence
from typing import Final

from schemas.digit import CLASSES

# Stand-ins that matplotlib takes for colours, exchanged for the page's own: one drawing serves a
# light and a dark page.
_PAGE_COLOURS: Final = {
    "#010203": "currentColor",
    "#0a0b0c": "var(--accent)",
    "#0d0e0f": "var(--review)",
    "#040506": "var(--line)",
}
_TEXT, _ACCENT, _REVIEW, _LINE = _PAGE_COLOURS


def confidence_histogram(confidences: Sequence[int], *, accept: float) -> str:
    """Returns an SVG histogram of images per confidence bin.

    Args:
        confidences: images in each of N bins of equal width over [0, 1].
        accept: the accept threshold; bins below it are drawn in the colour of review.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter, StrMethodFormatter

    bins = len(confidences)
    lowest = min(1 / CLASSES, *(edge / bins for edge, count in enumerate(confidences) if count), 1.0)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "digitmill", "font.size": 11}):
        figure = Figure(figsize=(7.2, 2.8), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        axes.patch.set_alpha(0)
        colours = [_ACCENT if (edge + 0.5) / bins >= accept else _REVIEW for edge in range(bins)]
        edges = [edge / bins for edge in range(bins)]
        axes.bar(edges, confidences, width=0.92 / bins, align="edge", color=colours)
        axes.axvline(accept, color=_TEXT, linewidth=1, linestyle=(0, (4, 3)))
        axes.set(xlim=(lowest, 1.0), xlabel="confidence", ylabel="images", yscale="symlog")
        axes.set_ylim(bottom=0)
        axes.set_yticks([tick for tick in axes.get_yticks() if tick > 0])
        axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.grid(axis="y", color=_LINE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(colors=_TEXT, length=0, pad=6)
        axes.margins(y=0.08)
        axes.minorticks_off()
        for label in (axes.xaxis.label, axes.yaxis.label):
            label.set_color(_TEXT)
        for side, spine in axes.spines.items():
            spine.set_visible(side == "bottom")
            spine.set_color(_LINE)
        text = io.StringIO()
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None})
    return _for_page(text.getvalue())


def _for_page(svg: str) -> str:
    svg = svg[svg.index("<svg") :]
    for stand_in, colour in _PAGE_COLOURS.items():
        svg = svg.replace(stand_in, colour)
    return svg
