"""Histograms and bar charts: confidences, digits, grey levels, of one run or several side by side."""

from collections.abc import Mapping, Sequence
from typing import Unpack

from digitmill.reports.charts.chart import Canvas, Caption, Chart
from digitmill.reports.charts.palette import ACCENT, INK, SECOND, SERIES
from digitmill.reports.numbers import share, thousands


def confidence_histogram(counts: Sequence[int], *, accept: float) -> Chart:
    """Draw images per confidence bin, those below the accept threshold in the colour of review.

    Args:
        counts: images in each of N bins of equal width over [0, 1].
        accept: the accept threshold.
    """
    bins, total = len(counts), max(1, sum(counts))
    canvas = Canvas(xlabel="confidence", ylabel="images, logarithmic")
    axes = canvas.axes
    edges = [number / bins for number in range(bins)]
    colours = [ACCENT if (number + 0.5) / bins >= accept else SECOND for number in range(bins)]
    bars = axes.bar(edges, counts, width=0.9 / bins, align="edge", color=colours)
    for number, bar in enumerate(bars):
        bar.set_gid(f"bar-{number}")
        spread = f"{edges[number]:.2f} to {edges[number] + 1 / bins:.2f}"
        canvas.tips[f"bar-{number}"] = f"confidence {spread}: {thousands(counts[number])} images"
    axes.axvline(accept, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    lowest = min((edge for edge, count in zip(edges, counts, strict=True) if count), default=0)
    axes.set(xlim=(min(lowest, max(0, accept - 1 / bins)), 1.0), yscale="symlog")
    axes.set_ylim(0, max(10, *counts) * 1.5)
    axes.minorticks_off()
    canvas.count_up()
    canvas.percent(axes.xaxis)
    canvas.grid()
    top = counts[-1] / total
    return canvas.chart(
        name="confidence",
        title="Confidence",
        reading=f"{share(top, 1)} of the images have a confidence of {1 - 1 / bins:g} or more; "
        f"the dashed line is the accept threshold.",
        alternative=f"Histogram of {thousands(sum(counts))} images by confidence in {bins} bins; "
        f"{thousands(counts[-1])} in the highest.",
        header=("low", "high", "images"),
        rows=(
            (f"{edge:g}", f"{edge + 1 / bins:g}", count) for edge, count in zip(edges, counts, strict=True)
        ),
    )


def bars_side_by_side(series: Mapping[str, Sequence[float]], **caption: Unpack[Caption]) -> Chart:
    """Draw one bar for each digit and series.

    Args:
        series: by its name, the share of each digit, in [0, 1].
    """
    classes = len(next(iter(series.values())))
    canvas = Canvas(xlabel="digit", ylabel="share")
    axes, width = canvas.axes, 0.82 / len(series)
    for place, ((label, values), colour) in enumerate(zip(series.items(), SERIES, strict=False)):
        left = [number + (place - (len(series) - 1) / 2) * width for number in range(classes)]
        for number, bar in enumerate(axes.bar(left, values, width * 0.94, color=colour, label=label)):
            gid = f"bar-{place}-{number}"
            bar.set_gid(gid)
            canvas.tips[gid] = f"digit {number}, {label}: {share(values[number])}"
    axes.set_xticks(range(classes))
    axes.set_ylim(0, max(1e-9, *(value for values in series.values() for value in values)) * 1.05)
    canvas.percent(axes.yaxis)
    canvas.grid()
    if len(series) > 1:
        canvas.legend()
    return canvas.chart(
        **caption,
        alternative=f"Bars: {caption['title'].lower()} by digit, {' and '.join(series)}. "
        + caption["reading"],
        header=("digit", *series),
        rows=(
            (number, *(f"{values[number]:.6f}" for values in series.values())) for number in range(classes)
        ),
    )


def steps_side_by_side(
    series: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    highest: float,
    **caption: Unpack[Caption],
) -> Chart:
    """Draw histograms with the same bins over each other, as steps, on a logarithmic scale.

    Args:
        series: by its name, the share in each of N bins of equal width.
        xlabel: what the bins are of.
        highest: upper end of the last bin; the first begins at 0.
    """
    bins = len(next(iter(series.values())))
    edges = [number * highest / bins for number in range(bins + 1)]
    canvas = Canvas(xlabel=xlabel, ylabel="share, logarithmic")
    axes = canvas.axes
    lowest = min((value for values in series.values() for value in values if value > 0), default=0.1)
    for (label, values), colour in zip(series.items(), SERIES, strict=False):
        axes.stairs(values, edges, color=colour, linewidth=1.8, label=label, baseline=None)
    axes.set(xlim=(0, highest), yscale="log", ylim=(max(1e-5, lowest / 2), 1.2))
    axes.minorticks_off()
    canvas.percent(axes.yaxis)
    canvas.grid()
    canvas.legend()
    return canvas.chart(
        **caption,
        alternative=f"Steps: {caption['title'].lower()} in {bins} bins, {' and '.join(series)}. "
        + caption["reading"],
        header=("low", "high", *series),
        rows=(
            (f"{low:g}", f"{high:g}", *(f"{value:.6f}" for value in row))
            for low, high, *row in zip(edges, edges[1:], *series.values(), strict=False)
        ),
    )
