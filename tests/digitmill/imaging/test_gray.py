import numpy as np
import pytest

from digitmill.imaging.gray import image_pyramid, shrink, strongest_channel, to_gray


def test_16_bits_are_scaled() -> None:
    deep = np.array([[0, 257, 32896, 65535]], np.uint16)
    np.testing.assert_array_equal(to_gray(deep), [[0, 1, 128, 255]])


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (60, 255), (200, 0)])
def test_ink_of_one_color_on_nothing_is_shown_on_its_opposite(ink: int, paper: int) -> None:
    pixels = np.full((4, 4, 4), ink, np.uint8)
    pixels[..., 3] = 0
    pixels[1, 1, 3] = 255
    expected = np.full((4, 4), paper)
    expected[1, 1] = ink
    np.testing.assert_array_equal(to_gray(pixels), expected)


def test_behind_ink_and_paper_with_holes_there_is_more_of_the_paper() -> None:
    pixels = np.full((8, 8, 4), 240, np.uint8)
    pixels[..., 3] = 255
    pixels[3:5, 3:5, :3] = 20
    pixels[0, 0] = 0
    gray = to_gray(pixels)
    assert gray[0, 0] == 240
    assert gray[3, 3] == 20


def test_the_strongest_channel_shows_yellow_on_white() -> None:
    pixels = np.full((8, 8, 3), 255, np.uint8)
    pixels[2:6, 2:6, 0] = 0
    assert np.ptp(to_gray(pixels)) < 32
    assert np.ptp(strongest_channel(pixels)) == 255


@pytest.mark.parametrize("shape", [(1, 1), (64, 64), (127, 40), (128, 3), (1, 999), (4000, 3001)])
def test_halvings_end_below_twice_the_side(shape: tuple[int, int]) -> None:
    levels = image_pyramid(np.full(shape, 7, np.uint8), 64)
    assert max(levels[-1].shape) < 128 or min(levels[-1].shape) < 2
    assert all((level == 7).all() for level in levels)
    assert max(shrink(levels[-1], 64).shape) <= 64
