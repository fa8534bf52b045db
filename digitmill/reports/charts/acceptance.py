"""Charts of calibration (reliability diagram) and of accepting by confidence (accuracy-coverage curve)."""

import dataclasses
import math
from collections.abc import Sequence

from digitmill.reports.charts.chart import Canvas, Chart, percent
from digitmill.reports.charts.palette import ACCENT, FAINT, INK, SOFT
from digitmill.reports.charts.scales import Linear
from digitmill.reports.numbers import NONE, fraction, share, thousands, threshold
from schemas.model.accuracy import wilson


@dataclasses.dataclass(frozen=True)
class ReliabilityBin:
    """Counts of labeled images of similar confidence, with the sum of their confidences."""

    images: int
    confidence: float
    right: int

    @property
    def means(self) -> tuple[float, float]:
        """Mean confidence and accuracy; requires at least one image."""
        return self.confidence / self.images, self.right / self.images


@dataclasses.dataclass(frozen=True)
class Accepting:
    """Counts of the images that one accept threshold accepts.

    Attributes:
        labeled: accepted images whose label is known.
        right: labeled, accepted images with the right digit.
        expected_wrong: number of wrong accepted images, as expected from the confidences.
    """

    threshold: float
    accepted: int
    images: int
    labeled: int
    right: int
    expected_wrong: float

    @property
    def coverage(self) -> float:
        """Share of all images that are accepted, in [0, 1]."""
        return self.accepted / self.images if self.images else 0.0

    @property
    def accuracy(self) -> float | None:
        """Share of the accepted images that are right; without labels, as expected from the confidences."""
        if self.labeled:
            return self.right / self.labeled
        return 1 - self.expected_wrong / self.accepted if self.accepted else None


@dataclasses.dataclass(frozen=True)
class Explorer:
    """The accuracy-coverage curve, and the texts of its slider.

    Attributes:
        chart: the curve.
        measured: whether the accuracies are measured on labels, or expected from the confidences.
        steps: a row for each threshold, lowest first: texts of the threshold, number accepted, share
            accepted, number for review, accuracy and number wrong; then the marker's offset in the drawing.
        start: index of the current threshold.
    """

    chart: Chart
    measured: bool
    steps: tuple[tuple[str | float, ...], ...]
    start: int


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Return the mean distance between confidence and accuracy over bins, weighted by images, in [0, 1]."""
    images = sum(found.images for found in bins)
    return math.fsum(abs(found.confidence - found.right) for found in bins) / images if images else 0.0


def reliability_diagram(
    bins: Sequence[ReliabilityBin], *, name: str = "reliability", title: str = "Are the confidences true?"
) -> Chart:
    """Draw accuracy by confidence, with 95 % intervals; on the diagonal, both are equal.

    Args:
        bins: bins of labeled images, of equal width over [0, 1], lowest first.
        name: stem of the file names.
        title: title of the chart.
    """
    whole = Linear(0, 1.03)
    canvas = Canvas(whole, whole, xlabel="confidence", ylabel="answered right")
    canvas.mark_x(percent)
    canvas.mark_y(percent)
    canvas.line([(0, 0), (1, 1)], SOFT, 1, dashes=(4, 3))
    for number, found in enumerate(bins):
        if not found.images:
            continue
        mean, accuracy = found.means
        canvas.line([(mean, end) for end in wilson(found.right, found.images)], FAINT, 4)
        tip = f"{thousands(found.images)} images of mean confidence {share(mean)}: {share(accuracy)} right"
        canvas.dot(mean, accuracy, ACCENT, 5.5, name=f"dot-{number}", tip=tip)
    error = expected_calibration_error(bins)
    images = sum(found.images for found in bins)
    lean = math.fsum(found.confidence - found.right for found in bins) / max(1, images)
    how = "too sure" if lean > 0 else "too modest"
    verdict = "They are true" if error < 0.01 else f"The model is {how}"
    return canvas.chart(
        name=name,
        title=title,
        reading=f"{verdict}: confidences differ from the accuracy by {fraction(100 * error, 2)} points on "
        "average. On the dashed line they are true; bars are 95 % intervals.",
        alternative=f"Accuracy by confidence of {thousands(images)} labeled images, "
        f"expected calibration error {fraction(error)}.",
        header=("low", "high", "labeled", "right", "mean_confidence", "accuracy"),
        rows=(_bin_row(found, number, len(bins)) for number, found in enumerate(bins)),
    )


def _bin_row(found: ReliabilityBin, number: int, bins: int) -> tuple[object, ...]:
    low, high = f"{number / bins:g}", f"{(number + 1) / bins:g}"
    if not found.images:
        return low, high, 0, 0, "", ""
    return low, high, found.images, found.right, *(f"{mean:.6f}" for mean in found.means)


def coverage_curve(points: Sequence[Accepting], *, accept: float) -> Explorer:
    """Draw the accuracy of accepted images by the share of images accepted, for a slider to explore.

    Args:
        points: points by ascending threshold, including the current one.
        accept: the current threshold.
    """
    measured = any(point.labeled for point in points)
    every, points = points, thresholds_to_show(points, accept=accept)
    shown = [point for point in points if point.accepted and point.accuracy is not None]
    canvas = _coverage_canvas(shown, measured=measured)
    start = min(range(len(points)), key=lambda index: abs(points[index].threshold - accept))
    now = points[start]
    canvas.dot(now.coverage, _height(now), INK, 8, name="marker", ring=2)
    home = canvas.place(now.coverage, _height(now))
    steps = tuple(_step(point, canvas, home, measured=measured) for point in points)
    chart = canvas.chart(
        name="coverage",
        title="What accepting more or less would mean",
        reading=_coverage_reading(now, measured=measured),
        alternative="Curve: accuracy of the accepted images by their share of all images. "
        + _coverage_reading(now, measured=measured),
        header=("threshold", "accepted", "images", "labeled", "right", "expected_wrong"),
        rows=(
            (f"{p.threshold:.9g}", p.accepted, p.images, p.labeled, p.right, f"{p.expected_wrong:.3f}")
            for p in every
        ),
    )
    return Explorer(chart, measured, steps, start)


def _coverage_canvas(shown: Sequence[Accepting], *, measured: bool) -> Canvas:
    """Draw the curve, with its 95 % intervals if it is measured."""
    across = [point.coverage for point in shown]
    up = [point.accuracy or 0.0 for point in shown]
    lowest, least = min(up, default=0.0), min(0.99, *across, 1.0)
    y = Linear(max(0.0, lowest - max(0.002, (1 - lowest) * 0.15)), 1 + max(0.0004, (1 - lowest) * 0.04))
    x = Linear(least, 1 + (1 - least) * 0.02)
    canvas = Canvas(x, y, xlabel="images accepted, the surest first", ylabel="of them right")
    canvas.mark_x(percent)
    canvas.mark_y(percent)
    if measured:
        bounds = [wilson(point.right, point.labeled) if point.labeled else (0.0, 1.0) for point in shown]
        low, high = ([bound[side] for bound in bounds] for side in (0, 1))
        canvas.band(across, low, high, FAINT)
    canvas.line(zip(across, up, strict=True), ACCENT, dashes=None if measured else (7.2, 3.6))
    return canvas


def thresholds_to_show(points: Sequence[Accepting], *, accept: float) -> list[Accepting]:
    """Return the points to offer as thresholds.

    Keeps only one threshold that accepts all images. Drops thresholds that accept less than half of the
    images or, if the current threshold is that strict, less than 90 % of what it accepts: the curve would be
    a line along the border.
    """
    in_force = next(point for point in points if point.threshold == accept)
    least = min(0.5, 0.9 * in_force.coverage)
    everything = sum(point.coverage == 1 and point.threshold < accept for point in points)
    return [
        point
        for number, point in enumerate(points)
        if number >= everything - 1 and (point.coverage >= least or point is in_force)
    ]


def _height(point: Accepting) -> float:
    return 1.0 if point.accuracy is None else point.accuracy


def _step(
    point: Accepting, canvas: Canvas, home: tuple[float, float], *, measured: bool
) -> tuple[str | float, ...]:
    x, y = canvas.place(point.coverage, _height(point))
    wrong = point.labeled - point.right if measured else point.expected_wrong
    return (
        threshold(point.threshold),
        thousands(point.accepted),
        share(point.coverage),
        thousands(point.images - point.accepted),
        share(point.accuracy) if point.accepted else NONE,
        thousands(wrong),
        round(x - home[0], 2),
        round(y - home[1], 2),
    )


def _coverage_reading(now: Accepting, *, measured: bool) -> str:
    if not now.accepted:
        return f"From {threshold(now.threshold)} on, no image is accepted."
    how = "are right" if measured else "should be right, by the model's own confidence"
    return (
        f"From {threshold(now.threshold)} on, {share(now.coverage)} of the images are accepted and "
        f"{share(now.accuracy)} of them {how}."
    )
