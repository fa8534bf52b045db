"""A chart of accuracies with their 95 % intervals, one per row."""

from collections.abc import Mapping
from typing import Unpack

from digitmill.reports.charts.chart import Canvas, Caption, Chart, percent
from digitmill.reports.charts.palette import ACCENT, FAINT
from digitmill.reports.charts.scales import Linear
from digitmill.reports.numbers import share, thousands
from schemas.model.accuracy import Accuracy

_ROW, _AROUND = 24, 96
"""Height of a row, and of everything around the rows, in points."""


def intervals(accuracies: Mapping[str, Accuracy], **caption: Unpack[Caption]) -> Chart:
    """Draw a dot for each accuracy and a bar for its 95 % interval, the first on top.

    Args:
        accuracies: accuracies by short label.
    """
    across = Linear.around(*(end for found in accuracies.values() for end in found.interval))
    # Rows are counted from the top.
    rows, height = Linear(0.4 - len(accuracies), 0.6), _AROUND + _ROW * len(accuracies)
    canvas = Canvas(across, rows, xlabel="answered right", ylabel="", height=height)
    canvas.mark_x(percent, grid=True)
    canvas.base()
    for row, (label, found) in enumerate(accuracies.items()):
        low, high = found.interval
        canvas.write_y(-row, label)
        canvas.line([(low, -row), (high, -row)], FAINT, 7)
        tip = f"{label}: {share(found.value)}, 95 % interval {share(low)} to {share(high)}"
        canvas.dot(found.value, -row, ACCENT, 7, name=f"dot-{row}", tip=tip)
    listed = "; ".join(f"{label} {share(found.value)}" for label, found in accuracies.items())
    return canvas.chart(
        **caption,
        alternative=f"Dots with 95 % intervals: {listed}.",
        header=("run", "right", "images", "accuracy", "low", "high"),
        rows=(
            (label, found.right, found.images, *(f"{value:.6f}" for value in (found.value, *found.interval)))
            for label, found in accuracies.items()
        ),
    )


def overlapping(one: Accuracy, other: Accuracy) -> bool:
    """Whether the two intervals overlap."""
    return one.interval[0] <= other.interval[1] and other.interval[0] <= one.interval[1]


def interval_note(accuracy: Accuracy) -> str:
    """Return an interval in words, for a note: `95 % interval 99.05 % to 99.39 %, 9,924 of 10,000`."""
    low, high = accuracy.interval
    counted = f"{thousands(accuracy.right)} of {thousands(accuracy.images)}"
    return f"95\N{NO-BREAK SPACE}% interval {share(low)} to {share(high)}, {counted}"
