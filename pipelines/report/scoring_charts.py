"""Charts of the run report, drawn from the merged statistics."""

import bisect
import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Final

from digitmill.reports.charts.acceptance import (
    Accepting,
    Explorer,
    ReliabilityBin,
    coverage_curve,
    reliability_diagram,
)
from digitmill.reports.charts.chart import Chart
from digitmill.reports.charts.distributions import (
    bars_side_by_side,
    confidence_histogram,
    steps_side_by_side,
)
from digitmill.reports.charts.matrices import Matrix, matrix
from digitmill.reports.numbers import share, thousands
from digitmill.reports.precision_recall import most_frequent_mistake
from pipelines.report.drift import MEASURE_NAMES, Distributions
from pipelines.statistics.item_statistics import CONFIDENCE_BINS, RunStatistics
from pipelines.statistics.thresholds import EDGES, RELIABILITY_BINS
from schemas.digit import CLASSES
from schemas.manifest import Manifest


@dataclasses.dataclass(frozen=True)
class RunCharts:
    """Charts of a run, for the page and for files; None if there is nothing to draw."""

    confidence: Chart
    explorer: Explorer | None
    reliability: Chart | None
    confusion: Matrix | None
    agreement: Matrix | None
    distributions: tuple[Chart, ...]

    def __iter__(self) -> Iterator[Chart]:
        """Yield the charts that are not None."""
        framed = (self.explorer, self.confusion, self.agreement)
        yield self.confidence
        yield from (found.chart for found in framed if found is not None)
        yield from filter(None, (self.reliability, *self.distributions))


def draw_charts(
    statistics: RunStatistics,
    manifest: Manifest,
    *,
    current: Distributions,
    references: Mapping[str, Distributions],
) -> RunCharts:
    """Draw all charts of a run. `references` are the distributions to compare with, by name in legends."""
    accept = manifest.accept_threshold
    return RunCharts(
        confidence=confidence_chart(statistics, accept=accept),
        explorer=threshold_explorer(statistics, accept=accept),
        reliability=reliability_chart(statistics),
        confusion=confusion_matrix(statistics),
        agreement=agreement_matrix(statistics) if manifest.challenger else None,
        distributions=tuple(distribution_charts(current, references)) if references else (),
    )


_SHOWN_EDGES: Final = (
    *(0.0, 0.3, 0.5, 0.7, 0.8),
    *(round(1 - 10**-nines * (1 - part), 9) for nines in range(1, 6) for part in (0, 0.3, 0.5, 0.7, 0.8)),
)
"""Lower ends of the confidence chart's bins, a subset of `EDGES`: five per nine."""


def confidence_chart(statistics: RunStatistics, *, accept: float) -> Chart:
    """Return the histogram of confidences; records without fine counts give a coarse one."""
    edges, counts = [number / CONFIDENCE_BINS for number in range(CONFIDENCE_BINS)], statistics.confidences
    if sum(statistics.thresholds.images) == statistics.scored:
        edges = list(_SHOWN_EDGES)
        bins = [0] * len(edges)
        for edge, images in zip(EDGES, statistics.thresholds.images, strict=True):
            bins[bisect.bisect_right(edges, edge + 1e-12) - 1] += images
        counts = tuple(bins)
    return confidence_histogram(edges, counts, accept=accept, accepted=statistics.accepted)


def threshold_explorer(statistics: RunStatistics, *, accept: float) -> Explorer | None:
    """Return the accuracy-coverage curve over accept thresholds; None if the records have no fine counts."""
    if not statistics.scored or sum(statistics.thresholds.images) != statistics.scored:
        return None
    return coverage_curve(acceptance_by_threshold(statistics, accept=accept), accept=accept)


def acceptance_by_threshold(statistics: RunStatistics, *, accept: float) -> list[Accepting]:
    """Return the effect of each accept threshold, thresholds ascending.

    Args:
        statistics: of a run with at least one scored image.
        accept: the current threshold, which is included with its exact counts.
    """
    counts = statistics.thresholds
    # Confidences are known by bin; 1 - the bin's middle is the expected share of wrong predictions.
    expected_wrong = [
        images * (1 - (low + high) / 2)
        for images, (low, high) in zip(counts.images, itertools.pairwise((*EDGES, 1.0)), strict=True)
    ]
    columns = (counts.images, counts.labeled, counts.right, expected_wrong)
    cumulative = [list(itertools.accumulate(reversed(column)))[::-1] for column in columns]
    points = [
        Accepting(edge, int(images), statistics.scored, int(labeled), int(right), wrong)
        for edge, images, labeled, right, wrong in zip(EDGES, *cumulative, strict=True)
        if edge != accept
    ]
    place = bisect.bisect_left(EDGES, accept)
    wrong = cumulative[-1][place] if place < len(EDGES) else 0.0
    exact = (statistics.accepted, statistics.scored, statistics.accepted_labeled, statistics.accepted_right)
    return sorted([*points, Accepting(accept, *exact, wrong)], key=lambda point: point.threshold)


def reliability_chart(statistics: RunStatistics) -> Chart | None:
    """Return the reliability diagram; None if no label is known."""
    counts = statistics.thresholds
    if not sum(counts.bin_labeled):
        return None
    columns = zip(counts.bin_labeled, counts.bin_confidence, counts.bin_right, strict=True)
    bins = [ReliabilityBin(*column) for column in columns]
    assert len(bins) == RELIABILITY_BINS
    return reliability_diagram(bins)


def confusion_matrix(statistics: RunStatistics) -> Matrix | None:
    """Return the confusion matrix, true by predicted digit; None if no label is known."""
    if not statistics.labeled:
        return None
    counts = statistics.confusion
    wrong = statistics.labeled - statistics.right
    reading = f"{thousands(wrong)} of {thousands(statistics.labeled)} labeled images were answered wrong"
    if mistake := most_frequent_mistake(counts):
        true, taken, count = mistake
        reading += f", most often {true} taken for {taken} ({thousands(count)})"
    return matrix(counts, name="confusion", title="Confusion", reading=f"{reading}.", corner="label")


def agreement_matrix(statistics: RunStatistics) -> Matrix:
    """Return the matrix of the model's digit by the challenger's."""
    counts = [[0] * CLASSES for _ in range(CLASSES)]
    for cell in statistics.agreements:
        if cell.challenger_digit >= 0:
            counts[cell.digit][cell.challenger_digit] += cell.images
    rate = share(statistics.agreed / statistics.scored if statistics.scored else None)
    return matrix(
        counts,
        name="agreement_matrix",
        title="Pairs of answers",
        reading=f"Both gave the same digit to {thousands(statistics.agreed)} images, {rate}: the diagonal.",
        rows="model's digit",
        columns="challenger's digit",
    )


def distribution_charts(current: Distributions, references: Mapping[str, Distributions]) -> Iterator[Chart]:
    """Yield a chart of each measure with the distributions of the run and of the references."""
    sides = {"this run": current, **references}
    for measure, reading in _READINGS.items():
        series = {
            name: [count / sum(counts) for count in counts]
            for name, distributions in sides.items()
            if sum(counts := distributions.counts(measure))
        }
        if "this run" not in series:
            continue
        name, title = f"drift_{measure}", MEASURE_NAMES[measure].capitalize()
        if measure == "digits":
            yield bars_side_by_side(series, name=name, title=title, reading=reading)
            continue
        xlabel, highest = ("confidence", 1) if measure == "confidences" else ("gray level, 255 is ink", 255)
        yield steps_side_by_side(
            series, name=name, title=title, reading=reading, xlabel=xlabel, highest=highest
        )


_READINGS: Final = {
    "digits": "How many of the images each digit makes.",
    "confidences": "A model is surer of what it was trained on: a small shift to the left is usual.",
    "gray_levels": "How bright the digits' pixels are: thick, faint or noisy strokes move it.",
}
"""Measures of `Distributions`, and the captions of their charts."""
