"""All kinds of charts, from plain numbers."""

import csv
import io
import itertools
import xml.etree.ElementTree as ET
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from digitmill.reports.charts.acceptance import (
    Accepting,
    ReliabilityBin,
    coverage_curve,
    expected_calibration_error,
    reliability_diagram,
)
from digitmill.reports.charts.chart import HEIGHT, WIDTH, Chart
from digitmill.reports.charts.curves import curves
from digitmill.reports.charts.distributions import (
    bars_side_by_side,
    confidence_histogram,
    split_at,
    steps_side_by_side,
)
from digitmill.reports.charts.matrices import SHADES, matrix, shade

BINS = (
    [ReliabilityBin(0, 0.0, 0)] * 10 + [ReliabilityBin(10, 0.55 * 10, 5)] * 9 + [ReliabilityBin(90, 89.0, 88)]
)
POINTS = [
    Accepting(0.0, 100, 100, 100, 90, 9.0),
    Accepting(0.9, 80, 100, 80, 79, 1.5),
    Accepting(0.99, 60, 100, 60, 60, 0.2),
    Accepting(1.0, 0, 100, 0, 0, 0.0),
]
TWENTIETHS = [number / 20 for number in range(20)]
SVG = "{http://www.w3.org/2000/svg}"
KINDS: dict[str, Callable[[], Chart]] = {
    "confidence": lambda: confidence_histogram(
        TWENTIETHS, [0] * 10 + [1] * 9 + [99], accept=0.9, accepted=100
    ),
    "bars": lambda: bars_side_by_side(
        {"this run": [0.5, 0.5], "training": [0.9, 0.1]}, name="bars", title="T", reading="R."
    ),
    "steps": lambda: steps_side_by_side(
        {"a": [0.9, 0.1, 0.0]}, name="s", title="T", reading="R.", xlabel="x", highest=255
    ),
    "reliability": lambda: reliability_diagram(BINS),
    "coverage": lambda: coverage_curve(POINTS, accept=0.9).chart,
    "curves": lambda: curves(
        {"training": [0.9, 0.95], "validation": [None, 0.9]},
        at=[1, 2],
        name="curves",
        title="T",
        reading="R.",
        ylabel="right",
        shares=True,
    ),
}


@pytest.fixture(scope="module", params=KINDS)
def chart(request: pytest.FixtureRequest) -> Chart:
    return KINDS[request.param]()


def test_a_chart_is_a_picture_a_table_and_words(chart: Chart) -> None:
    picture = cv2.imdecode(np.frombuffer(chart.png, np.uint8), cv2.IMREAD_COLOR)
    # A file has its title; on a page it stands in the text.
    head = picture.shape[0] - round(picture.shape[1] * HEIGHT / WIDTH)
    assert 0 < head < picture.shape[0] / 8
    assert (picture[:head] != 255).any()
    assert f">{chart.title}<" not in chart.svg
    assert (picture[:, :4] == 255).all(), "nothing is cut off at the left"
    assert (picture[:, -4:] == 255).all(), "nothing is cut off at the right"
    assert ET.fromstring(chart.svg).tag.endswith("svg")
    assert chart.reading.endswith(".")
    assert chart.alternative


def test_its_numbers_are_a_csv(chart: Chart) -> None:
    (name, data, rows), _ = chart.files()
    table = list(csv.reader(io.StringIO(data.decode())))
    assert name == f"{chart.name}.csv"
    assert len(table) == rows + 1
    assert {len(row) for row in table} == {len(chart.header)}


@pytest.mark.parametrize("kind", ["confidence", "coverage"])
def test_it_is_the_same_whenever_it_is_drawn(kind: str) -> None:
    assert KINDS[kind]() == KINDS[kind]()


@pytest.mark.parametrize("accept", [0.0, 0.55, 1.0])
def test_bins_below_the_threshold_have_the_color_of_review(accept: float) -> None:
    accepted = round(20 * (1 - accept))
    svg = confidence_histogram(TWENTIETHS, [1] * 20, accept=accept, accepted=accepted).svg
    assert ('fill="var(--second)" id="confidence-bar' in svg) == (accept > 0)
    assert ('fill="var(--accent)" id="confidence-bar' in svg) == (accept < 1)


def test_the_bin_of_the_threshold_is_divided_there() -> None:
    """A threshold of 0.9946 lies in the last bin, where nearly all images are: most of it is accepted."""
    bins = split_at(TWENTIETHS, [0] * 19 + [1000], accept=0.9946, accepted=970)
    assert bins[-2:] == [(0.95, 0.9946, 30), (0.9946, 1.0, 970)]
    chart = confidence_histogram(TWENTIETHS, [0] * 19 + [1000], accept=0.9946, accepted=970)
    bars = [each for each in ET.fromstring(chart.svg).iter(f"{SVG}polygon") if each.get("id")]
    assert [(each.get("fill"), each[0].text) for each in bars] == [
        ("var(--second)", "confidence 95% to 99.46%: 30 images"),
        ("var(--accent)", "confidence 99.46% to 100%: 970 images"),
    ]


@pytest.mark.parametrize("accept", [0.9, 0.95])
def test_a_threshold_between_bins_divides_none(accept: float) -> None:
    assert len(split_at(TWENTIETHS, [1] * 20, accept=accept, accepted=1)) == 20


def test_each_bar_says_its_number() -> None:
    chart = confidence_histogram(TWENTIETHS, [0] * 19 + [1234], accept=0.9, accepted=1234)
    assert "confidence 95% to 100%: 1,234 images" in chart.svg


def test_calibration_error_is_the_weighted_distance() -> None:
    assert expected_calibration_error(BINS) == pytest.approx((9 * 0.5 + 1) / 180)
    assert expected_calibration_error([]) == 0


def test_the_slider_begins_at_the_threshold_in_force_and_ends_where_no_one_would_choose() -> None:
    found = coverage_curve(POINTS, accept=0.9)
    assert found.measured
    assert found.steps[found.start][:2] == ("0.9", "80")
    assert found.steps[found.start][-2:] == (0, 0)
    assert [step[0] for step in found.steps] == ["0", "0.9", "0.99"]
    assert len(found.chart.rows) == len(POINTS)
    assert 'id="coverage-marker"' in found.chart.svg


def test_without_labels_what_is_expected_is_shown() -> None:
    found = coverage_curve(
        [Accepting(0.5, 100, 100, 0, 0, 3.0), Accepting(0.9, 80, 100, 0, 0, 0.8)], accept=0.9
    )
    assert not found.measured
    assert found.steps[found.start][4].startswith("99.00")
    assert "should be right" in found.chart.reading


def test_a_run_that_accepts_nothing_can_be_explored() -> None:
    found = coverage_curve([Accepting(0.5, 9, 9, 0, 0, 3.0), Accepting(1.0, 0, 9, 0, 0, 0.0)], accept=1.0)
    assert found.steps[found.start][0] == "1"
    assert "no image is accepted" in found.chart.reading


@pytest.mark.parametrize(
    ("count", "row", "expected"), [(0, (0, 0), 0), (5, (5, 0), SHADES), (1, (10**6, 1), 1), (25, (25, 75), 5)]
)
def test_shades_show_a_handful_among_thousands(count: int, row: tuple[int, ...], expected: int) -> None:
    assert shade(count, row) == expected


def test_a_matrix_has_its_counts_as_picture_and_csv() -> None:
    found = matrix([[5, 1], [0, 0]], name="m", title="T", reading="R.", corner="label")
    assert found.chart.rows == ((0, 5, 1), (1, 0, 0))
    assert found.chart.header == ("label", "0", "1")
    assert found.shades == ((9, 4), (0, 0))
    assert found.chart.svg == ""
    assert found.chart.png.startswith(b"\x89PNG")


def test_steps_stop_at_bins_that_are_empty() -> None:
    chart = steps_side_by_side(
        {"a": [0.0, 0.5, 0.0, 0.5]}, name="s", title="T", reading="R.", xlabel="x", highest=1
    )
    lines = [each.get("points").split() for each in ET.fromstring(chart.svg).iter(f"{SVG}polyline")]
    drawn = [[tuple(map(float, point.split(","))) for point in line] for line in lines if len(line) > 2]
    axis = max(y for line in drawn for _, y in line)
    assert [len(line) for line in drawn] == [4, 3]
    assert [line[0][1] == axis for line in drawn] == [True, True], "each rises from the axis"
    assert [line[-1][1] == axis for line in drawn] == [True, False], "the last ends at the border"


def test_words_on_the_axes_do_not_overlap() -> None:
    for low in (0.0, 0.5, 0.9):
        counts = [0] * round(low * 20) + [1] * (20 - round(low * 20))
        root = ET.fromstring(confidence_histogram(TWENTIETHS, counts, accept=0.95, accepted=1).svg)
        below = [each for each in root.iter(f"{SVG}text") if each.text.endswith("%")]
        places = sorted(float(each.get("x")) for each in below)
        assert len(places) >= 3
        assert min(b - a for a, b in itertools.pairwise(places)) > 30
