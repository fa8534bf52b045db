"""Histograms and bar charts of confidences, digits and gray levels, for one or several runs."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Unpack

from digitmill.reports.charts.chart import Canvas, Caption, Chart, Entry, percent
from digitmill.reports.charts.palette import ACCENT, INK, SECOND, SERIES
from digitmill.reports.charts.scales import Linear, Logarithmic, LogarithmicCounts, Nines
from digitmill.reports.numbers import compact, share, thousands, threshold


def confidence_histogram(
    edges: Sequence[float], counts: Sequence[int], *, accept: float, accepted: int
) -> Chart:
    """Draw images per confidence bin on a scale of nines, in two colors: accepted, and for review.

    The bin that contains the accept threshold is split there.

    Args:
        edges: lower ends of N bins, ascending from 0; the last bin ends at 1.
        counts: images in each bin.
        accept: the accept threshold.
        accepted: number of accepted images.
    """
    bins = split_at(edges, counts, accept=accept, accepted=accepted)
    some = [found for found in bins if found.images] or bins
    left, highest = some[0].low, max(10, *counts) * 1.5
    canvas = Canvas(
        Nines(min(left, accept * 0.999)),
        LogarithmicCounts(highest),
        xlabel="confidence",
        ylabel="images, logarithmic",
    )
    canvas.mark_x(percent)
    canvas.mark_y(compact)
    for number, found in enumerate(bins):
        if found.low >= left:
            tip = (
                f"confidence {percent(found.low)} to {percent(found.high)}: {thousands(found.images)} images"
            )
            color = ACCENT if found.low >= accept else SECOND
            canvas.bar(found.low, found.high, found.images, color, name=f"bar-{number}", tip=tip)
    canvas.line([(accept, 0), (accept, highest)], INK, 1, dashes=(4, 3))
    canvas.legend([Entry("for review", SECOND), Entry("accepted", ACCENT)])
    total = sum(counts)
    return canvas.chart(
        name="confidence",
        title="Confidence",
        reading=f"{share(accepted / max(1, total), 1)} of the images reach the accept threshold of "
        f"{threshold(accept)}, the dashed line. Each step to the right on the scale is ten times as sure.",
        alternative=f"Histogram of {thousands(total)} images by confidence, {thousands(accepted)} of them "
        f"at or above the accept threshold of {threshold(accept)}.",
        header=("low", "high", "images"),
        rows=((f"{found.low:.9g}", f"{found.high:.9g}", found.images) for found in bins),
    )


class ConfidenceBin(NamedTuple):
    """Images of similar confidence."""

    low: float
    high: float
    images: int


def split_at(
    edges: Sequence[float], counts: Sequence[int], *, accept: float, accepted: int
) -> list[ConfidenceBin]:
    """Return bins, splitting the bin that contains the accept threshold so that `accepted` are above it."""
    bins = []
    for low, high, images in zip(edges, (*edges[1:], 1.0), counts, strict=True):
        if low < accept < high:
            above = sum(count for edge, count in zip(edges, counts, strict=True) if edge >= high)
            upper = min(images, max(0, accepted - above))
            bins += [ConfidenceBin(low, accept, images - upper), ConfidenceBin(accept, high, upper)]
        else:
            bins.append(ConfidenceBin(low, high, images))
    return bins


def bars_side_by_side(series: Mapping[str, Sequence[float]], **caption: Unpack[Caption]) -> Chart:
    """Draw one bar for each digit and series.

    Args:
        series: the share of each digit, in [0, 1], by name of the series.
    """
    classes = len(next(iter(series.values())))
    highest = max(1e-9, *(value for values in series.values() for value in values)) * 1.05
    canvas = Canvas(Linear(-0.9, classes - 0.1), Linear(0, highest), xlabel="digit", ylabel="share")
    canvas.mark_y(percent)
    width = 0.82 / len(series)
    for place, ((label, values), color) in enumerate(zip(series.items(), SERIES, strict=False)):
        for number, value in enumerate(values):
            left = number + (place - len(series) / 2) * width
            tip = f"digit {number}, {label}: {share(value)}"
            canvas.bar(left, left + width * 0.94, value, color, name=f"bar-{place}-{number}", tip=tip)
    for number in range(classes):
        canvas.write_x(number, str(number))
    canvas.base()
    if len(series) > 1:
        canvas.legend([Entry(label, color) for label, color in zip(series, SERIES, strict=False)])
    return canvas.chart(
        **caption,
        alternative=f"Bars: {caption['title'].lower()} by digit, {' and '.join(series)}. "
        + caption["reading"],
        header=("digit", *series),
        rows=(
            (number, *(f"{values[number]:.6f}" for values in series.values())) for number in range(classes)
        ),
    )


def _steps(values: Sequence[float], edges: Sequence[float]) -> Iterator[list[tuple[float, float]]]:
    """Yield a step line for each run of non-empty bins, which starts and ends on the axis."""
    bins = zip(edges, edges[1:], values, strict=False)
    for some, group in itertools.groupby(bins, key=lambda each: each[2] > 0):
        if not some:
            continue
        line = [(edge, value) for low, high, value in group for edge in (low, high)]
        first, last = line[0][0], line[-1][0]
        yield [*([(first, 0.0)] * (first > edges[0])), *line, *([(last, 0.0)] * (last < edges[-1]))]


def steps_side_by_side(
    series: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    highest: float,
    **caption: Unpack[Caption],
) -> Chart:
    """Draw overlaid histograms with the same bins as steps, on a logarithmic scale.

    Args:
        series: the share in each of N bins of equal width, by name of the series.
        xlabel: label of the horizontal axis.
        highest: upper end of the last bin; the first bin begins at 0.
    """
    bins = len(next(iter(series.values())))
    edges = [number * highest / bins for number in range(bins + 1)]
    lowest = min((value for values in series.values() for value in values if value > 0), default=0.1)
    y = Logarithmic(max(1e-5, lowest / 2), 1.2)
    canvas = Canvas(Linear(0, highest), y, xlabel=xlabel, ylabel="share, logarithmic")
    canvas.mark_x("{:g}".format if highest > 1 else percent)
    canvas.mark_y(percent)
    for values, color in zip(series.values(), SERIES, strict=False):
        for steps in _steps(values, edges):
            canvas.line(steps, color)
    canvas.legend([Entry(label, color, 1.8) for label, color in zip(series, SERIES, strict=False)])
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
