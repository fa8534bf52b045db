"""The charts of a run, from its merged statistics."""

import bisect
import itertools
from collections.abc import Iterator, Sequence

from digitmill.reports.charts.acceptance import (
    Accepting,
    Explorer,
    ReliabilityBin,
    coverage_curve,
    reliability_diagram,
)
from digitmill.reports.charts.chart import Chart
from digitmill.reports.charts.distributions import bars_side_by_side, steps_side_by_side
from digitmill.reports.charts.matrices import Matrix, matrix
from digitmill.reports.numbers import share, thousands
from pipelines.report.drift import Spread
from pipelines.report.drift_words import NAMES
from pipelines.statistics.item_statistics import RunStatistics
from pipelines.statistics.thresholds import EDGES, RELIABILITY_BINS
from schemas.digit import CLASSES


def explorer(statistics: RunStatistics, *, accept: float) -> Explorer | None:
    """Returns what other accept thresholds would mean; None where the records do not say."""
    if not statistics.scored or sum(statistics.thresholds.images) != statistics.scored:
        return None
    return coverage_curve(accepting(statistics, accept=accept), accept=accept)


def accepting(statistics: RunStatistics, *, accept: float) -> list[Accepting]:
    """Returns what accepting from each threshold on means, thresholds rising.

    Args:
        statistics: of a run with at least one scored image.
        accept: the threshold in force, which is among them with its own exact counts.
    """
    counts = statistics.thresholds
    # An image's own confidence is known to its bin: of the bin's middle the rest is what may be wrong.
    doubts = [
        images * (1 - (low + high) / 2)
        for images, (low, high) in zip(counts.images, itertools.pairwise((*EDGES, 1.0)), strict=True)
    ]
    from_here_on = [
        _from_the_top(column) for column in (counts.images, counts.labelled, counts.right, doubts)
    ]
    points = [
        Accepting(edge, int(images), statistics.scored, int(labelled), int(right), wrong)
        for edge, images, labelled, right, wrong in zip(EDGES, *from_here_on, strict=True)
        if edge != accept
    ]
    place = bisect.bisect_left(EDGES, accept)
    wrong = from_here_on[-1][place] if place < len(EDGES) else 0.0
    exact = (statistics.accepted, statistics.scored, statistics.accepted_labelled, statistics.accepted_right)
    return sorted([*points, Accepting(accept, *exact, wrong)], key=lambda point: point.threshold)


def _from_the_top(column: Sequence[float]) -> list[float]:
    return list(itertools.accumulate(reversed(column)))[::-1]


def reliability(statistics: RunStatistics) -> Chart | None:
    """Returns confidence against accuracy; None where no label is known."""
    counts = statistics.thresholds
    if not sum(counts.bin_labelled):
        return None
    columns = zip(counts.bin_labelled, counts.bin_confidence, counts.bin_right, strict=True)
    bins = [ReliabilityBin(*column) for column in columns]
    assert len(bins) == RELIABILITY_BINS
    return reliability_diagram(bins)


def confusion(statistics: RunStatistics) -> Matrix | None:
    """Returns true by predicted digit; None where no label is known."""
    if not statistics.labelled:
        return None
    counts = statistics.confusion
    wrong = statistics.labelled - statistics.right
    reading = f"{thousands(wrong)} of {thousands(statistics.labelled)} labelled images were answered wrong"
    true, taken = max(
        ((true, taken) for true in range(CLASSES) for taken in range(CLASSES) if true != taken),
        key=lambda cell: counts[cell[0]][cell[1]],
    )
    most = counts[true][taken]
    reading += f", most often {true} taken for {taken} ({thousands(most)})." if most else "."
    return matrix(counts, name="confusion", title="Confusion", reading=reading, corner="label")


def agreement(statistics: RunStatistics) -> Matrix:
    """Returns the model's digit by the challenger's."""
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


def spreads(here: Spread, others: dict[str, Spread]) -> Iterator[Chart]:
    """Yields the run's distributions, one chart each, beside those that it is held against."""
    sides = {"this run": here, **others}
    readings = {
        "digits": "How many of the images each digit makes.",
        "confidences": "A model is surer of what it was trained on: a small shift to the left is usual.",
        "grey_levels": "How bright the digits' pixels are: thick, faint or noisy strokes move it.",
    }
    for measure, highest in (("digits", 0), ("confidences", 1), ("grey_levels", 255)):
        series = {
            name: [count / sum(counts) for count in counts]
            for name, spread in sides.items()
            if sum(counts := getattr(spread, measure))
        }
        if "this run" not in series:
            continue
        name, title = f"drift_{measure}", NAMES[measure].capitalize()
        if measure == "digits":
            yield bars_side_by_side(series, name=name, title=title, reading=readings[measure])
        else:
            yield steps_side_by_side(
                series,
                name=name,
                title=title,
                reading=readings[measure],
                xlabel="confidence" if highest == 1 else "grey level, 255 is ink",
                highest=highest,
            )
