import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.reports.charts.acceptance import thresholds_to_show
from pipelines.report.scoring_charts import acceptance_by_threshold
from pipelines.statistics.item_statistics import RunStatistics
from pipelines.statistics.thresholds import EDGES, RELIABILITY_BINS, ConfidenceCounts, count_confidences
from pipelines.statistics.totals import RunningTotal


def total(records: list[ConfidenceCounts]) -> ConfidenceCounts:
    running = RunningTotal()
    for record in records:
        running.add(record)
    return running.value()


ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.95, 0.999, 0.99999, 1.0]), st.integers(0, 2)),
    max_size=30,
)


def arrays(rows: list[tuple[float, int]]) -> dict[str, np.ndarray]:
    """0: no label, 1: wrong, 2: right."""
    said = np.array([what for _, what in rows], int)
    return {
        "confidence": np.array([confidence for confidence, _ in rows], np.float32),
        "known": said > 0,
        "right": said == 2,
    }


def test_edges_rise_from_nothing_and_are_finest_near_one() -> None:
    assert EDGES[0] == 0
    assert list(EDGES) == sorted(set(EDGES))
    assert {0.5, 0.9, 0.95, 0.99, 0.999, 0.9999} <= set(EDGES)
    assert 1 - EDGES[-1] < 2e-6
    # A coarse bin begins at an edge, so that both tell the same.
    assert {round(number / 20, 2) for number in range(20)} <= set(EDGES)


@given(ROWS)
def test_bins_add_up_to_the_rows_above_each_edge(rows: list[tuple[float, int]]) -> None:
    columns = arrays(rows)
    counted = count_confidences(columns.pop("confidence"), **columns)
    above = np.array([confidence for confidence, _ in rows], np.float32)[:, None] >= np.array(
        EDGES, np.float32
    )
    for field, chosen in (
        ("images", slice(None)),
        ("labeled", columns["known"]),
        ("right", columns["right"]),
    ):
        from_here_on = np.cumsum(getattr(counted, field)[::-1])[::-1]
        np.testing.assert_array_equal(from_here_on, above[chosen].sum(axis=0))
    assert sum(counted.bin_labeled) == columns["known"].sum()
    assert len(counted.bin_confidence) == RELIABILITY_BINS


@given(st.lists(ROWS, max_size=4), st.randoms())
def test_pieces_add_up_in_any_order(pieces: list, random: object) -> None:
    counted = [count_confidences(**arrays(rows)) for rows in pieces]
    whole = count_confidences(**arrays([row for rows in pieces for row in rows]))
    merged = total([ConfidenceCounts(), *counted])
    assert merged.images == whole.images
    assert merged.bin_confidence == pytest.approx(whole.bin_confidence)
    random.shuffle(counted)
    assert total([*counted, ConfidenceCounts()]) == merged


@pytest.mark.parametrize("accept", [0.0, 0.9, 0.98765, 1.0])
def test_the_threshold_in_force_has_its_own_exact_counts(statistics: RunStatistics, accept: float) -> None:
    points = acceptance_by_threshold(statistics, accept=accept)
    (now,) = (point for point in points if point.threshold == accept)
    assert (now.accepted, now.labeled, now.right) == (50, 50, 49)
    thresholds = [point.threshold for point in points]
    assert thresholds == sorted(set(thresholds))
    assert now in thresholds_to_show(points, accept=accept)


def test_accepting_more_never_accepts_less(statistics: RunStatistics) -> None:
    points = acceptance_by_threshold(statistics, accept=0.9)
    counts = [point.accepted for point in points]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == statistics.scored
    assert points[0].expected_wrong == pytest.approx(10 * 0.515 + 50 * 0.0095, rel=0.05)
