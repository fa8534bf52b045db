"""Line charts over time: by epoch, by step, by night."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Unpack

from digitmill.reports.charts.chart import Canvas, Caption, Chart
from digitmill.reports.charts.palette import SERIES
from digitmill.reports.numbers import fraction, share


def curves(
    series: Mapping[str, Sequence[float | None]],
    *,
    at: Sequence[int] = (),
    xlabel: str = "epoch",
    ylabel: str,
    shares: bool = False,
    **caption: Unpack[Caption],
) -> Chart:
    """Draw a line for each series; None leaves a gap, and so does the end of a shorter series.

    Args:
        series: by its name, a value for each place.
        at: the places, rising whole numbers; from 1 on if none are given.
        xlabel: what the places are.
        ylabel: what the values are.
        shares: whether the values are shares in [0, 1].
    """
    from matplotlib.ticker import MaxNLocator

    at = at or range(1, max(map(len, series.values())) + 1)
    canvas = Canvas(xlabel=xlabel, ylabel=ylabel)
    axes, written = canvas.axes, share if shares else fraction
    for number, (label, values) in enumerate(series.items()):
        there = [(place, value) for place, value in zip(at, values, strict=False) if value is not None]
        # Beyond four series colours repeat: then dashes tell them apart.
        style = "-" if number < len(SERIES) else (0, (4, 2))
        colour = SERIES[number % len(SERIES)]
        axes.plot(*zip(*there, strict=True), color=colour, linewidth=1.8, linestyle=style, label=label)
        for place, value in there if len(there) <= 60 else ():
            (dot,) = axes.plot(place, value, "o", color=colour, markersize=4)
            gid = f"dot-{number}-{place}"
            dot.set_gid(gid)
            canvas.tips[gid] = f"{xlabel} {place}, {label}: {written(value)}"
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if shares:
        canvas.percent(axes.yaxis)
    canvas.grid()
    if len(series) > 1:
        # Eight letters take no more room than four words.
        canvas.legend(8 if max(map(len, series)) == 1 else 4)
    return canvas.chart(
        **caption,
        alternative=f"Lines: {caption['title'].lower()}, {' and '.join(series)}. {caption['reading']}",
        header=(xlabel, *series),
        rows=(
            (place, *("" if value is None else f"{value:.6f}" for value in row))
            for place, row in zip(at, itertools.zip_longest(*series.values()), strict=True)
        ),
    )
