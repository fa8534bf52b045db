import xml.etree.ElementTree as ET

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.reports.charts.drawing import HEAD, Area, Dot, Drawing, Line, Mark, Picture, Words, text_width
from digitmill.reports.charts.palette import ACCENT, INK, VARIABLES

SVG = "{http://www.w3.org/2000/svg}"
PAPER = 255


def painted(*marks: Mark, width: float = 72, height: float = 36) -> np.ndarray:
    """Return the pixels of a PNG without title, of 200 x 100 pixels."""
    drawing = Drawing(width, height)
    for mark in marks:
        drawing.add(mark)
    image = cv2.imdecode(np.frombuffer(drawing.png(""), np.uint8), cv2.IMREAD_GRAYSCALE)
    return image[round(HEAD * 200 / 72) :]


def extent(image: np.ndarray) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of what is clearly darker than paper."""
    rows, columns = np.nonzero(image < 128)
    return columns.min(), rows.min(), columns.max(), rows.max()


@pytest.fixture
def root() -> ET.Element:
    drawing = Drawing(90, 60)
    drawing.add(Area.box(1, 2, 3, 4.5, ACCENT), name="bar-1", tip="3 <images>")
    drawing.add(Line([(0, 0), (9, 9)], INK, 1, (4, 3)))
    drawing.add(Dot((5, 6), 4, INK, ring=2), name="marker")
    drawing.add(Words((7, 8), "a <b>", INK, 11, "middle"))
    return ET.fromstring(drawing.svg("chart"))


def test_colors_are_the_pages_and_there_are_no_styles(root: ET.Element) -> None:
    text = ET.tostring(root, encoding="unicode")
    assert root.find(f"{SVG}polygon").get("fill") == VARIABLES[ACCENT]
    assert "style" not in text
    assert "#" not in text


def test_ids_are_the_charts_own(root: ET.Element) -> None:
    assert [element.get("id") for element in root if element.get("id")] == ["chart-bar-1", "chart-marker"]


def test_tips_are_titles_and_texts_are_escaped(root: ET.Element) -> None:
    assert [title.text for title in root.iter(f"{SVG}title")] == ["3 <images>"]
    assert root.find(f"{SVG}text").text == "a <b>"


def test_the_page_gives_the_size(root: ET.Element) -> None:
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == (None, None, "0 0 90 60")
    assert root.get("aria-hidden") == "true"


def test_an_area_has_the_place_and_the_size_of_its_points() -> None:
    left, top, right, bottom = extent(painted(Area.box(18, 9, 36, 27, INK)))
    assert np.allclose((left, top, right, bottom), (50, 25, 99, 74), atol=1)


def test_an_area_without_height_is_not_painted() -> None:
    assert (painted(Area.box(18, 9, 36, 9, INK)) == PAPER).all()


def test_dashes_are_as_long_as_they_say_also_around_a_corner() -> None:
    image = painted(Line([(0, 18), (36, 18), (36, 0)], INK, 1, (9, 9)))
    row = image[50, :100] < 128
    assert row[2:23].all()
    assert not row[28:47].any()
    assert row[53:72].all()
    assert (image[28:47, 100] < 128).all(), "the third dash begins at the corner"
    assert not (image[2:22, 100] < 128).any()


@pytest.mark.parametrize(("anchor", "side"), [("start", 0), ("middle", 1), ("end", 2)])
def test_words_stand_at_their_anchor_around_their_height(anchor: str, side: int) -> None:
    image = painted(Words((36, 18), "H8H", INK, 11, anchor))
    left, top, right, bottom = extent(image)
    assert (left, (left + right) / 2, right)[side] == pytest.approx(100, abs=4)
    assert (top + bottom) / 2 == pytest.approx(50, abs=2)
    assert right - left == pytest.approx(text_width("H8H", 11) * 200 / 72, abs=10), (
        "letters have room beside them"
    )


def test_a_ring_is_empty() -> None:
    image = painted(Dot((36, 18), 9, INK, ring=2))
    assert image[50, 100] == PAPER
    assert painted(Dot((36, 18), 9, INK))[50, 100] < 128


def test_pixels_of_a_picture_are_squares() -> None:
    image = painted(Picture(np.array([[0, 255], [255, 0]], np.uint8), (9, 9), 18))
    assert (image[30:45, 30:45] == 0).all()
    assert (image[30:45, 55:70] == 255).all()
    assert (image[55:70, 55:70] == 0).all()


@given(st.lists(st.tuples(st.floats(0, 72), st.floats(0, 36)), min_size=2, max_size=5), st.text(max_size=9))
def test_any_line_and_any_words_can_be_drawn_and_are_the_same_each_time(
    points: list[tuple[float, float]], text: str
) -> None:
    marks = [Line(points, INK, 1.8, (4, 3)), Line(points, INK, 0.7), Words((36, 18), text, INK, 11, "middle")]
    assert (painted(*marks) == painted(*marks)).all()
