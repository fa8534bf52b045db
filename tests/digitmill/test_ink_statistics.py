import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from digitmill.ink_statistics import InkCounter, measure_ink
from schemas.digit import SIDE
from schemas.model.ink_counts import INK_BINS, UPPER_BOUNDS, InkCounts

DIGITS = arrays.arrays(np.uint8, st.tuples(st.integers(1, 5), st.just(SIDE), st.just(SIDE)))


def bar(width: int, *, height: int = 20) -> np.ndarray:
    digit = np.zeros((1, SIDE, SIDE), np.uint8)
    digit[0, 4 : 4 + height, 10 : 10 + width] = 255
    return digit


def measured(digits: np.ndarray) -> dict[str, float]:
    return dict(zip(UPPER_BOUNDS, measure_ink(digits)[:, 0].tolist(), strict=True))


def test_the_measures_of_a_bar_are_known() -> None:
    found = measured(bar(4))
    assert found == pytest.approx(
        {
            "ink_shares": 80 / SIDE**2,
            "stroke_widths": 2 * 80 / 48,
            "horizontal_edges": 8,
            "vertical_edges": 40,
        }
    )


@pytest.mark.parametrize("width", [2, 3])
def test_a_thicker_stroke_is_wider(width: int) -> None:
    assert measured(bar(width + 1))["stroke_widths"] > measured(bar(width))["stroke_widths"]


@given(DIGITS)
def test_edges_are_where_neighbors_differ(digits: np.ndarray) -> None:
    ink = (digits > 127).astype(int)
    _, _, horizontal, vertical = measure_ink(digits)
    padded = np.pad(ink, ((0, 0), (0, 0), (1, 1)))
    assert horizontal.tolist() == np.abs(np.diff(ink, axis=1)).sum(axis=(1, 2)).tolist()
    assert vertical.tolist() == np.abs(np.diff(padded, axis=2)).sum(axis=(1, 2)).tolist()


@given(DIGITS, DIGITS)
def test_every_image_counts_once_in_each_measure_however_they_come(
    first: np.ndarray, second: np.ndarray
) -> None:
    together, apart = InkCounter(), InkCounter()
    together.add(np.concatenate([first, second]))
    for digits in (first, second[:0], second):
        apart.add(digits)
    counts = together.counts()
    assert counts == apart.counts()
    assert {sum(each) for each in vars(counts).values()} == {len(first) + len(second)}
    assert counts.images == len(first) + len(second)


def test_what_is_beyond_the_bins_counts_in_the_last() -> None:
    counter = InkCounter()
    counter.add(np.full((3, SIDE, SIDE), 255, np.uint8))
    assert counter.counts().ink_shares == (*(0,) * (INK_BINS - 1), 3)


def test_blur_moves_edges_and_strokes() -> None:
    sharp = bar(3)
    blurred = cv2.GaussianBlur(sharp[0], (0, 0), 1.5)[None] * 2
    assert measured(blurred)["stroke_widths"] != measured(sharp)["stroke_widths"]


@pytest.mark.parametrize("counts", [(1,), (1, *(0,) * (INK_BINS - 1))])
def test_counts_of_other_images_or_bins_are_refused(counts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ink is not counted"):
        InkCounts(ink_shares=counts)
