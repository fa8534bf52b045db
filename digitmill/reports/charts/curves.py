"""Line charts over time: by epoch, by step, by night."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Unpack

from digitmill.reports.charts.chart import Canvas, Caption, Chart, Entry, percent
from digitmill.reports.charts.palette import SERIES
from digitmill.reports.charts.scales import Linear
from digitmill.reports.numbers import fraction, share, thousands


def curves(
    series: Mapping[str, Sequence[float | None]],
    *,
    at: Sequence[int] = (),
    xlabel: str = "epoch",
    ylabel: str,
    shares: bool = False,
    counts: bool = False,
    bottom: float | None = None,
    **caption: Unpack[Caption],
) -> Chart:
    """Draw a line for each series; None values are skipped, and shorter series end early.

    Args:
        series: values by name of the series.
        at: positions of the values, ascending whole numbers; 1, 2, 3, … by default.
        xlabel: label of the horizontal axis.
        ylabel: label of the vertical axis.
        shares: whether the values are shares in [0, 1].
        counts: whether the values are counts.
        bottom: start of the vertical axis; None for a little below the values.
    """
    at = at or range(1, max(map(len, series.values())) + 1)
    known = [value for values in series.values() for value in values if value is not None]
    highest = max(known)
    x, y = Linear.around(*at, whole=True), Linear.around(*known, whole=counts)
    if bottom is not None:
        y = dataclasses.replace(y, low=bottom, high=bottom + 1.06 * ((highest - bottom) or 1))
    elif shares and highest == 1:
        # Leave room for half a dot above 100 %, instead of showing 104 %.
        y = dataclasses.replace(y, high=1 + 0.01 * (1 - y.low))
    canvas = Canvas(x, y, xlabel=xlabel, ylabel=ylabel)
    canvas.mark_x(thousands)
    canvas.mark_y(percent if shares else thousands if counts else "{:g}".format)
    entries: list[Entry] = []
    written = share if shares else thousands if counts else fraction
    for number, (label, values) in enumerate(series.items()):
        there = [(place, value) for place, value in zip(at, values, strict=False) if value is not None]
        # With more than four series, colors repeat and dashes distinguish them.
        entry = Entry(label, SERIES[number % len(SERIES)], 1.8, None if number < len(SERIES) else (7.2, 3.6))
        entries.append(entry)
        canvas.line(there, entry.color, 1.8, dashes=entry.dashes)
        for place, value in there if len(there) <= 60 else ():
            tip = f"{xlabel} {place}, {label}: {written(value)}"
            canvas.dot(place, value, entry.color, 4, name=f"dot-{number}-{place}", tip=tip)
    if len(series) > 1:
        # Eight one-letter labels take no more room than four words.
        canvas.legend(entries, 8 if max(map(len, series)) == 1 else 4)
    return canvas.chart(
        **caption,
        alternative=f"Lines: {caption['title'].lower()}, {' and '.join(series)}. {caption['reading']}",
        header=(xlabel, *series),
        rows=(
            (place, *("" if value is None else f"{value:.6f}" for value in row))
            for place, row in zip(at, itertools.zip_longest(*series.values()), strict=True)
        ),
    )
