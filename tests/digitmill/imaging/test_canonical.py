import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from digitmill.imaging.canonical import canonicalize
from digitmill.imaging.native import is_native
from schemas.digit import BOX, SIDE
from schemas.failure import FailureCode, ImageError


def on_paper(digit: np.ndarray, side: int, *, paper: int = 240, ink: int = 30) -> np.ndarray:
    """A canonical digit as a scan: dark ink on light paper, off-center."""
    grown = cv2.resize(digit, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    grown = np.pad(grown, ((side // 3, side // 8), (side // 10, side // 2)))
    return np.clip(paper + (ink - paper) * grown, 0, 255).astype(np.uint8)


def test_native_digits_pass_byte_for_byte(digits: np.ndarray) -> None:
    for digit in digits:
        np.testing.assert_array_equal(canonicalize(digit), digit)


def test_a_native_digit_in_colors_or_16_bits_passes_byte_for_byte(digits: np.ndarray) -> None:
    for digit in digits[::10]:
        for pixels in (
            np.dstack([digit] * 3),
            np.dstack([digit] * 3 + [np.full_like(digit, 255)]),
            digit.astype(np.uint16) * 257,
        ):
            np.testing.assert_array_equal(canonicalize(pixels), digit)


def test_an_inverted_native_digit_comes_back(digits: np.ndarray) -> None:
    same = [np.array_equal(canonicalize(255 - digit), digit) for digit in digits]
    # A few of MNIST's own digits fill 19 pixels of the box, and come back filling 20.
    assert np.mean(same) > 0.99


@pytest.mark.parametrize("side", [20, 56, 180, 700])
def test_a_scan_comes_back_in_the_box_and_centered(digits: np.ndarray, side: int) -> None:
    for digit in digits[::25]:
        found = canonicalize(on_paper(digit, side))
        rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 in (BOX - 1, BOX)
        mass = found.astype(float)
        for axis in (0, 1):
            center = mass.sum(axis=axis) @ (np.arange(SIDE) + 0.5) / mass.sum()
            assert abs(center - 14.5) <= 1.5
        assert np.abs(found.astype(int) - digit).mean() < 45


def test_16_bits_are_scaled_and_not_clipped(digits: np.ndarray) -> None:
    scan = on_paper(digits[7], 80)
    np.testing.assert_array_equal(canonicalize(scan.astype(np.uint16) * 257), canonicalize(scan))


@pytest.mark.parametrize("ink", [0, 255])
def test_ink_that_is_opacity_alone_is_seen(digits: np.ndarray, ink: int) -> None:
    scan = 255 - on_paper(digits[3], 90, paper=255, ink=0)
    transparent = np.dstack([np.full_like(scan, ink)] * 3 + [scan])
    np.testing.assert_allclose(canonicalize(transparent).astype(int), canonicalize(scan).astype(int), atol=2)


def test_colored_ink_on_colored_paper_is_seen(digits: np.ndarray) -> None:
    scan = on_paper(digits[11], 90)
    weight = scan.astype(np.float32)[..., None] / 255
    color = (weight * [180, 230, 245] + (1 - weight) * [140, 30, 20]).astype(np.uint8)
    assert np.abs(canonicalize(color).astype(int) - canonicalize(scan)).mean() < 6


def test_a_shadow_over_the_paper_is_no_ink(digits: np.ndarray) -> None:
    differences = []
    for digit in digits[::20]:
        scan = on_paper(digit, 120)
        shaded = (scan * np.linspace(1, 0.55, scan.shape[1])).astype(np.uint8)
        differences.append(np.abs(canonicalize(shaded).astype(int) - canonicalize(scan)).mean())
    assert np.median(differences) < 12


@pytest.mark.parametrize(
    ("shape", "level"),
    [
        *(((28, 28), level) for level in (0, 128, 255)),
        *((shape, 255) for shape in ((1, 1), (50, 3), (200, 300), (64, 64, 3))),
    ],
)
def test_paper_without_ink_is_blank(shape: tuple, level: int) -> None:
    with pytest.raises(ImageError) as caught:
        canonicalize(np.full(shape, level, np.uint8))
    assert caught.value.code is FailureCode.BLANK


def test_noisy_paper_without_ink_is_blank() -> None:
    grain = np.random.default_rng(3).normal(200, 8, (120, 160)).clip(0, 255).astype(np.uint8)
    with pytest.raises(ImageError) as caught:
        canonicalize(grain)
    assert caught.value.code is FailureCode.BLANK


def test_yellow_ink_on_white_is_seen(digits: np.ndarray) -> None:
    scan = on_paper(digits[5], 90, paper=255, ink=0)
    yellow = np.dstack([scan, np.full_like(scan, 255), np.full_like(scan, 255)])
    # By its gray levels, of which it has 29.
    np.testing.assert_allclose(canonicalize(yellow).astype(int), canonicalize(scan).astype(int), atol=8)


@pytest.mark.parametrize("side", [8, 12])
def test_tiny_pictures_give_digits(digits: np.ndarray, side: int) -> None:
    for digit in digits[::25]:
        tiny = 240 - (cv2.resize(digit, (side, side), interpolation=cv2.INTER_AREA) * 0.8).astype(np.uint8)
        assert max(np.ptp(np.argwhere(canonicalize(tiny)), axis=0)) + 1 >= BOX - 2


def test_a_picture_of_4000_pixels_is_what_it_is_at_160(digits: np.ndarray) -> None:
    differences = []
    for digit in digits[::50]:
        scan = on_paper(digit, 100)
        large = cv2.resize(scan, None, fx=25, fy=25, interpolation=cv2.INTER_LINEAR)
        assert max(large.shape) == 4_000
        differences.append(np.abs(canonicalize(large).astype(int) - canonicalize(scan)).mean())
    assert np.median(differences) < 6


def test_specks_are_left_out(digits: np.ndarray) -> None:
    differences = []
    for digit in digits[::25]:
        scan = on_paper(digit, 60)
        speckled = scan.copy()
        speckled[2:4, 2:4] = speckled[-3:-1, -20:-18] = 40
        differences.append(np.abs(canonicalize(speckled).astype(int) - canonicalize(scan)).mean())
    # A center of mass on the brink may move by a pixel.
    assert np.percentile(differences, 90) < 1


PIXELS = st.one_of(st.tuples(), st.tuples(st.sampled_from([3, 4]))).flatmap(
    lambda channels: st.sampled_from([np.uint8, np.uint16]).flatmap(
        lambda dtype: hnp.arrays(
            dtype, st.tuples(st.integers(1, 40), st.integers(1, 40)).map(lambda s: s + channels)
        )
    )
)


@given(PIXELS)
@settings(deadline=None)
def test_any_picture_gives_a_digit_or_is_blank(pixels: np.ndarray) -> None:
    try:
        digit = canonicalize(pixels)
    except ImageError as error:
        assert error.code is FailureCode.BLANK
    else:
        assert digit.shape == (SIDE, SIDE)
        assert digit.dtype == np.uint8
        assert digit.max() > 0


@given(PIXELS)
@settings(deadline=None)
def test_a_canonical_digit_is_left_as_it_is(pixels: np.ndarray) -> None:
    try:
        digit = canonicalize(pixels)
    except ImageError:
        return
    assert is_native(digit)
    np.testing.assert_array_equal(canonicalize(digit), digit)


@given(st.integers(0, 499), st.integers(30, 150), st.integers(0, 100), st.integers(150, 255))
@settings(deadline=None)
def test_light_ink_on_dark_is_the_same_digit(
    digits: np.ndarray, number: int, side: int, ink: int, paper: int
) -> None:
    scan = on_paper(digits[number], side, paper=paper, ink=ink)
    np.testing.assert_array_equal(canonicalize(255 - scan), canonicalize(scan))
