from digitmill.reports.charts.intervals import interval_note, intervals, overlapping
from schemas.model.accuracy import Accuracy


def test_each_accuracy_has_a_dot_a_tip_and_a_row() -> None:
    chart = intervals(
        {"A": Accuracy(90, 100), "B": Accuracy(95, 100)}, name="intervals", title="Accuracy", reading="So."
    )
    assert [row[:3] for row in chart.rows] == [("A", 90, 100), ("B", 95, 100)]
    assert "A: 90.00\xa0%, 95 % interval 82.56\xa0% to 94.48\xa0%" in chart.svg
    assert chart.alternative == "Dots with 95 % intervals: A 90.00\xa0%; B 95.00\xa0%."
    assert chart.png.startswith(b"\x89PNG")


def test_intervals_overlap_or_not() -> None:
    assert overlapping(Accuracy(90, 100), Accuracy(95, 100))
    assert not overlapping(Accuracy(50, 100), Accuracy(95, 100))
    assert not overlapping(Accuracy(95, 100), Accuracy(50, 100))


def test_an_interval_in_words() -> None:
    assert (
        interval_note(Accuracy(9_924, 10_000)) == "95\xa0% interval 99.05\xa0% to 99.39\xa0%, 9,924 of 10,000"
    )
