"""A chart of accuracies with their 95 % intervals, one below another."""

from collections.abc import Mapping
from typing import Unpack

from digitmill.reports.charts.chart import Canvas, Caption, Chart
from digitmill.reports.charts.palette import ACCENT, FAINT
from digitmill.reports.numbers import share, thousands
from schemas.model.accuracy import Accuracy

_ROW, _AROUND = 24, 96
"""Points: height of a row, and of what is around them."""


def intervals(accuracies: Mapping[str, Accuracy], **caption: Unpack[Caption]) -> Chart:
    """Draw a dot for each accuracy and a bar for its 95 % interval, the first on top.

    Args:
        accuracies: by a short label.
    """
    from matplotlib.ticker import MaxNLocator

    canvas = Canvas(xlabel="answered right", ylabel="", height=_AROUND + _ROW * len(accuracies))
    axes = canvas.axes
    for row, (label, found) in enumerate(accuracies.items()):
        axes.plot(found.interval, [row, row], color=FAINT, linewidth=7, solid_capstyle="round")
        (dot,) = axes.plot(found.value, row, "o", color=ACCENT, markersize=7)
        dot.set_gid(f"dot-{row}")
        low, high = found.interval
        canvas.tips[f"dot-{row}"] = (
            f"{label}: {share(found.value)}, 95 % interval {share(low)} to {share(high)}"
        )
    axes.set_yticks(range(len(accuracies)), list(accuracies))
    axes.set_ylim(len(accuracies) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    canvas.percent(axes.xaxis)
    canvas.grid("x")
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
    """Whether the two intervals have a value in common."""
    return one.interval[0] <= other.interval[1] and other.interval[0] <= one.interval[1]


def interval_note(accuracy: Accuracy) -> str:
    """Return an interval in words, for a note: `95 % interval 99.05 % to 99.39 %, 9,924 of 10,000`."""
    low, high = accuracy.interval
    counted = f"{thousands(accuracy.right)} of {thousands(accuracy.images)}"
    return f"95\N{NO-BREAK SPACE}% interval {share(low)} to {share(high)}, {counted}"
