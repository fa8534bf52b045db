import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from digitmill.imaging.canonical import canonicalize
from digitmill.imaging.native import are_native, is_native


def moved(digit: np.ndarray, rows: int, columns: int) -> np.ndarray:
    return np.roll(digit, (rows, columns), axis=(0, 1))


def resized(digit: np.ndarray, side: int) -> np.ndarray:
    left, top, width, height = cv2.boundingRect(digit)
    size = (
        max(1, round(width * side / max(width, height))),
        max(1, round(height * side / max(width, height))),
    )
    ink = cv2.resize(digit[top : top + height, left : left + width], size, interpolation=cv2.INTER_AREA)
    picture = np.zeros((28, 28), np.uint8)
    row, column = (28 - size[1]) // 2, (28 - size[0]) // 2
    picture[row : row + size[1], column : column + size[0]] = ink
    return picture


def test_all_plain_digits_are_native(digits: np.ndarray) -> None:
    assert are_native(digits).all()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda digit: moved(digit, 3, 0), id="low"),
        pytest.param(lambda digit: moved(digit, 0, -3), id="left"),
        pytest.param(lambda digit: resized(digit, 14), id="small"),
        pytest.param(lambda digit: resized(digit, 26), id="large"),
        pytest.param(lambda digit: digit // 3, id="faint"),
        pytest.param(lambda digit: 255 - digit, id="inverted"),
        pytest.param(np.zeros_like, id="empty"),
    ],
)
def test_what_is_not_canonical_is_not_native(digits: np.ndarray, change) -> None:
    assert not are_native(np.stack([change(digit) for digit in digits[:50]])).any()


@pytest.mark.parametrize("polarity", [0, 255])
@pytest.mark.parametrize("side", [10, 14, 26])
def test_pictures_of_28_pixels_are_fitted_as_larger_ones_are(
    digits: np.ndarray, side: int, polarity: int
) -> None:
    differences = []
    for digit in digits[::20]:
        small = np.abs(polarity - moved(resized(digit, side), 1, 1).astype(int)).astype(np.uint8)
        found = canonicalize(small)
        assert is_native(found)
        doubled = cv2.resize(small, (56, 56), interpolation=cv2.INTER_LINEAR)
        differences.append(np.abs(found.astype(int) - canonicalize(doubled)).mean())
    assert np.median(differences) < 12


@pytest.mark.parametrize("polarity", [0, 255])
def test_faint_digits_of_28_pixels_are_stretched(digits: np.ndarray, polarity: int) -> None:
    for digit in digits[::20]:
        found = canonicalize(np.abs(polarity - (digit // 5).astype(int)).astype(np.uint8))
        assert found.max() == 255
        assert np.abs(found.astype(int) - digit).mean() < 12


def test_other_shapes_and_depths_are_not_native(digits: np.ndarray) -> None:
    assert not is_native(digits[0][:27])
    assert not is_native(digits[0].astype(np.uint16))


@given(hnp.arrays(np.uint8, st.tuples(st.integers(0, 5), st.just(28), st.just(28))))
def test_a_picture_is_native_whatever_its_batch(pictures: np.ndarray) -> None:
    assert are_native(pictures).tolist() == [is_native(picture) for picture in pictures]
