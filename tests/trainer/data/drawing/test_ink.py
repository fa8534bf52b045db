import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import font_manager

from trainer.data.drawing.ink import crop, draw_text, side_by_side

FONT = font_manager.findfont("DejaVu Sans", fallback_to_default=False)


@pytest.mark.parametrize("size", [8, 30, 200])
def test_text_is_bright_cropped_and_as_large_as_asked(size):
    ink = draw_text(FONT, "8", size=size)
    assert ink.dtype == np.uint8
    assert ink.max() > 200
    assert all(ink[edge].any() for edge in (0, -1))
    assert all(ink[:, edge].any() for edge in (0, -1))
    assert abs(len(ink) - 0.755 * size) <= 2


def test_text_without_ink_is_empty():
    assert not draw_text(FONT, " ", size=20).any()


def test_a_file_that_is_no_font_is_an_error(tmp_path):
    (tmp_path / "no.ttf").write_bytes(b"no")
    with pytest.raises(OSError, match="unknown file format"):
        draw_text(str(tmp_path / "no.ttf"), "1", size=20)


def test_paper_around_ink_is_cropped():
    sheet = np.zeros((9, 12), np.uint8)
    sheet[2:5, 3:10] = 7
    assert crop(sheet).shape == (3, 7)
    assert crop(np.zeros((4, 5), np.uint8)).shape == (4, 5)


@given(
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.integers(-20, 20),
    st.integers(0, 5),
)
def test_two_pieces_side_by_side_keep_their_ink(left, right, gap, margin):
    sheet = side_by_side(np.full(left, 9, np.uint8), np.full(right, 200, np.uint8), gap=gap, margin=margin)
    assert (sheet == 200).sum() == right[0] * right[1]
    if gap >= 0:
        assert (sheet == 9).sum() == left[0] * left[1]
        assert sheet.shape == (max(left[0], right[0]) + 2 * margin, left[1] + gap + right[1] + 2 * margin)
    if margin:
        assert not sheet[0].any()
        assert not sheet[:, -1].any()
