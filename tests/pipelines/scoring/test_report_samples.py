from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.storage.listed_image import ListedImage
from pipelines.scoring.report_samples import LowestRankedPixels, ReportSamples, gray_levels
from pipelines.statistics.kept_images import MAX_EXAMPLES_PER_DIGIT, sample_rank
from schemas.failure import FailureCode, ImageError

NO_CHALLENGER = np.full(10, np.nan, np.float32)


def add(
    samples: ReportSamples, digits: list[int], labels: list[int] | None = None, *, start: int = 0
) -> list[ListedImage]:
    images = [
        ListedImage(f"file:///{start + row}", 1, 9, label)
        for row, label in enumerate(labels or [-1] * len(digits))
    ]
    probabilities = np.full((len(digits), 10), 0.01, np.float32)
    # The later, the surer.
    probabilities[np.arange(len(digits)), digits] = 0.5 + 0.4 * (start + np.arange(len(digits))) / 1000
    samples.add(
        images,
        np.zeros((len(digits), 28, 28), np.uint8),
        start=start,
        probabilities=probabilities,
        challenger_probabilities=np.tile(NO_CHALLENGER, (len(digits), 1)),
    )
    return images


@given(st.lists(st.lists(st.integers(0, 3), max_size=40), max_size=4))
def test_the_sample_of_each_digit_does_not_depend_on_chunks(chunks: list[list[int]]) -> None:
    samples, images, digits_so_far = ReportSamples(), [], []
    for chunk in chunks:
        images += add(samples, chunk, start=len(images))
        digits_so_far += chunk
    for digit in range(10):
        rows = [row for row, answer in enumerate(digits_so_far) if answer == digit]
        expected = sorted(rows, key=lambda row: (sample_rank(images[row].uri), row))[:MAX_EXAMPLES_PER_DIGIT]
        assert samples.examples[digit].rows.tolist() == expected


def test_the_most_confident_mistakes_are_kept() -> None:
    samples = ReportSamples()
    add(samples, [1] * 100, [1, 2, -1, 3] * 25)
    wrong = [row for row in range(100) if row % 4 in (1, 3)]
    assert samples.mistaken.rows.tolist() == wrong[::-1][:30]
    taken = {cell: kept.rows.tolist() for cell, kept in samples.confused.items()}
    # The surest of each pair of label and answer.
    assert taken == {(2, 1): [97, 93, 89, 85, 81, 77], (3, 1): [99, 95, 91, 87, 83, 79]}


def test_without_labels_there_are_no_mistakes() -> None:
    samples = ReportSamples()
    add(samples, [1, 2, 3])
    assert len(samples.mistaken.rows) == len(samples.disagreeing.rows) == 0


def test_gray_levels_are_binned_as_the_cards_are(digits: np.ndarray) -> None:
    expected, _ = np.histogram(digits, bins=20, range=(0, 255))
    np.testing.assert_array_equal(gray_levels(digits), expected)
    levels = np.arange(256, dtype=np.uint8).repeat(784).reshape(256, 28, 28)
    np.testing.assert_array_equal(gray_levels(levels), np.histogram(levels, bins=20, range=(0, 255))[0])


def test_the_first_failure_by_name_that_decodes_gets_a_picture(png_of: Callable) -> None:
    samples = ReportSamples()
    blank = np.full((200, 100), 240, np.uint8)
    contents = [
        (ListedImage("file:///b", 1, 9), png_of(blank)),
        (ListedImage("file:///a", 1, 9), png_of(blank[:50])),
        (ListedImage("file:///0", 1, 9), b"no image"),
        (ListedImage("file:///1", 1, 9), png_of(blank)),
        (ListedImage("file:///2", 1, 9), ImageError(FailureCode.MISSING, "gone")),
    ]
    codes = [FailureCode.BLANK, FailureCode.BLANK, FailureCode.UNSUPPORTED, None, FailureCode.MISSING]
    samples.add_failures(contents, [code and ImageError(code, "so") for code in codes])
    ((code, (image, picture)),) = samples.failed.items()
    assert (code, image, picture.shape) == (FailureCode.BLANK, "file:///a", (28, 56))


def test_nothing_changes_nothing() -> None:
    samples = ReportSamples()
    add(samples, [])
    assert samples.gray_levels.sum() == 0


@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 28, 28)])
def test_levels_of_a_slice_are_its_own(shape: tuple[int, ...]) -> None:
    pixels = np.zeros((10, 28, 28), np.uint8)
    pixels[: shape[0]] = 255
    assert gray_levels(pixels[: shape[0]])[-1] == np.prod(shape)
    assert cv2.countNonZero(pixels.reshape(-1, 28)) == np.prod(shape)


RANKS = st.lists(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=9), max_size=6)


@given(RANKS, st.integers(1, 8))
def test_the_lowest_ranks_of_a_stable_sort_are_kept(chunks: list[list[float]], most: int) -> None:
    kept, start = LowestRankedPixels(most), 0
    for ranks in chunks:
        rows = np.arange(start, start + len(ranks))
        digits = np.zeros((len(ranks), 28, 28), np.uint8) + rows[:, None, None].astype(np.uint8)
        kept.add(rows, digits, ranks=np.array(ranks, np.float32))
        start += len(ranks)
    expected = np.argsort(np.array([rank for ranks in chunks for rank in ranks]), kind="stable")[:most]
    np.testing.assert_array_equal(kept.rows, expected)
    np.testing.assert_array_equal(kept.digits[:, 0, 0], expected)


def test_kept_pixels_do_not_hold_the_whole_batch() -> None:
    kept = LowestRankedPixels(2)
    digits = np.zeros((512, 28, 28), np.uint8)
    kept.add(np.arange(512), digits, ranks=np.zeros(512, np.float32))
    assert not np.shares_memory(kept.digits, digits)
    assert kept.digits.base is None or len(kept.digits.base) <= 4
