import cv2
import numpy as np
import pytest

from digitmill.imaging.ink.lines import find_lines


def inked(*rectangles: tuple[int, int, int, int], shape: tuple[int, int] = (64, 64)) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    for top, bottom, left, right in rectangles:
        mask[top:bottom, left:right] = 255
    return mask


def test_a_line_from_edge_to_edge_is_found_and_the_stroke_that_crosses_it_is_not() -> None:
    line, stroke = (40, 42, 0, 64), (20, 55, 30, 34)
    lines = find_lines(inked(line, stroke))
    expected = inked(line)
    expected[40:42, 30:34] = 0
    np.testing.assert_array_equal(lines.level, expected)
    assert not lines.upright.any()


def test_a_box_is_found_corners_and_all() -> None:
    box = inked((0, 2, 0, 64), (62, 64, 0, 64), (0, 64, 0, 2), (0, 64, 62, 64))
    np.testing.assert_array_equal(find_lines(box).union(), box)


@pytest.mark.parametrize("degrees", [-3, 3])
def test_a_slanted_line_is_found(degrees: float) -> None:
    mask = inked()
    climb = round(32 * np.tan(np.radians(degrees)))
    cv2.line(mask, (0, 40 - climb), (63, 40 + climb), 255, 2)
    assert np.count_nonzero(find_lines(mask).level) > 0.9 * np.count_nonzero(mask)


@pytest.mark.parametrize(
    "mask",
    [
        inked(),
        inked((20, 50, 30, 34)),
        inked((30, 32, 0, 20)),  # too short
        inked((30, 32, 12, 52)),  # too short for one that does not begin at the edge
        inked((20, 40, 0, 64)),  # too thick
        inked((10, 12, 0, 20), shape=(20, 20)),  # too small a picture
    ],
)
def test_what_is_no_line_is_left(mask: np.ndarray) -> None:
    lines = find_lines(mask)
    assert lines is None or not lines.union().any()


@pytest.mark.parametrize("shape", [(64, 64), (64, 40), (96, 96)])
def test_an_upright_stroke_that_is_all_there_is_is_no_line(shape: tuple[int, int]) -> None:
    middle = shape[1] // 2
    assert find_lines(inked((0, shape[0], middle, middle + 4), shape=shape)) is None


def test_upright_lines_at_the_sides_are_lines() -> None:
    side = inked((0, 64, 0, 3))
    np.testing.assert_array_equal(find_lines(side).upright, side)


@pytest.mark.parametrize(
    "strokes",
    [
        [(0, 3, 0, 32), (0, 32, 27, 30)],  # a 7
        [(0, 3, 4, 28), (29, 32, 4, 28), (2, 30, 0, 4), (2, 30, 28, 32)],  # a 0
        [(0, 3, 4, 28), (2, 32, 0, 4), (29, 32, 2, 32), (14, 32, 29, 32), (14, 17, 2, 32)],  # a 6
    ],
)
def test_a_small_digit_that_fills_its_picture_has_no_lines(strokes: list) -> None:
    assert find_lines(inked(*strokes, shape=(32, 32))) is None


def test_a_line_across_a_small_picture_is_found() -> None:
    line = inked((20, 21, 0, 40), shape=(40, 40))
    np.testing.assert_array_equal(
        find_lines(cv2.bitwise_or(line, inked((8, 15, 18, 22), shape=(40, 40)))).level, line
    )
