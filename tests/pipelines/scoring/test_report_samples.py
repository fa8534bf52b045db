from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.storage.listed_image import ListedImage
from pipelines.scoring.report_samples import Shown, grey_levels
from pipelines.statistics.kept_images import EXAMPLES_KEPT, draw_of
from schemas.failure import FailureCode, ImageError

NO_CHALLENGER = np.full(10, np.nan, np.float32)


def add(
    shown: Shown, digits: list[int], labels: list[int] | None = None, *, start: int = 0
) -> list[ListedImage]:
    images = [
        ListedImage(f"file:///{start + row}", 1, 9, label)
        for row, label in enumerate(labels or [-1] * len(digits))
    ]
    probabilities = np.full((len(digits), 10), 0.01, np.float32)
    # The later, the surer.
    probabilities[np.arange(len(digits)), digits] = 0.5 + 0.4 * (start + np.arange(len(digits))) / 1000
    shown.add(
        images,
        np.zeros((len(digits), 28, 28), np.uint8),
        start=start,
        probabilities=probabilities,
        challenging=np.tile(NO_CHALLENGER, (len(digits), 1)),
    )
    return images


@given(st.lists(st.lists(st.integers(0, 3), max_size=40), max_size=4))
def test_of_each_digit_a_sample_by_lot_is_kept_however_it_is_cut(chunks: list[list[int]]) -> None:
    shown, images, answers = Shown(), [], []
    for chunk in chunks:
        images += add(shown, chunk, start=len(images))
        answers += chunk
    for digit in range(10):
        rows = [row for row, answer in enumerate(answers) if answer == digit]
        expected = sorted(rows, key=lambda row: (draw_of(images[row].uri), row))[:EXAMPLES_KEPT]
        assert shown.examples[digit].rows.tolist() == expected


def test_the_surest_mistakes_are_kept_surest_first() -> None:
    shown = Shown()
    add(shown, [1] * 100, [1, 2, -1, 3] * 25)
    wrong = [row for row in range(100) if row % 4 in (1, 3)]
    assert shown.mistaken.rows.tolist() == wrong[::-1][:24]


def test_without_labels_there_are_no_mistakes() -> None:
    shown = Shown()
    add(shown, [1, 2, 3])
    assert len(shown.mistaken.rows) == len(shown.disagreeing.rows) == 0


def test_grey_levels_are_binned_as_the_cards_are(digits: np.ndarray) -> None:
    expected, _ = np.histogram(digits, bins=20, range=(0, 255))
    np.testing.assert_array_equal(grey_levels(digits), expected)
    levels = np.arange(256, dtype=np.uint8).repeat(784).reshape(256, 28, 28)
    np.testing.assert_array_equal(grey_levels(levels), np.histogram(levels, bins=20, range=(0, 255))[0])


def test_a_failure_that_decodes_is_shown_the_first_by_name(png_of: Callable) -> None:
    shown = Shown()
    blank = np.full((200, 100), 240, np.uint8)
    contents = [
        (ListedImage("file:///b", 1, 9), png_of(blank)),
        (ListedImage("file:///a", 1, 9), png_of(blank[:50])),
        (ListedImage("file:///0", 1, 9), b"no image"),
        (ListedImage("file:///1", 1, 9), png_of(blank)),
        (ListedImage("file:///2", 1, 9), ImageError(FailureCode.MISSING, "gone")),
    ]
    codes = [FailureCode.BLANK, FailureCode.BLANK, FailureCode.UNSUPPORTED, None, FailureCode.MISSING]
    shown.add_failures(contents, [code and ImageError(code, "so") for code in codes])
    ((code, (image, picture)),) = shown.failed.items()
    assert (code, image, picture.shape) == (FailureCode.BLANK, "file:///a", (28, 56))


def test_nothing_changes_nothing() -> None:
    shown = Shown()
    add(shown, [])
    assert shown.grey_levels.sum() == 0


@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 28, 28)])
def test_levels_of_a_slice_are_its_own(shape: tuple[int, ...]) -> None:
    pixels = np.zeros((10, 28, 28), np.uint8)
    pixels[: shape[0]] = 255
    assert grey_levels(pixels[: shape[0]])[-1] == np.prod(shape)
    assert cv2.countNonZero(pixels.reshape(-1, 28)) == np.prod(shape)
