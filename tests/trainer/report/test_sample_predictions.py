import cv2
import numpy as np
import pytest

from digitmill.reports.gallery import inline_png
from trainer.report.record import SampleImage
from trainer.report.sample_predictions import draw_predictions

CRIMSON = np.array((0x40, 0x24, 0x8F))
"""Of what is wrong, blue first as OpenCV has it."""


def samples(count: int, *, wrong: int = 0) -> list[SampleImage]:
    png = inline_png(np.full((28, 28), 255, np.uint8))
    return [SampleImage(7 * n, n % 10, (n + (n < wrong)) % 10, 0.875, 1, png) for n in range(count)]


def drawn(count: int, *, wrong: int = 0) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(draw_predictions(samples(count, wrong=wrong)).png, np.uint8), 1)


def test_the_numbers_are_a_table_and_a_sentence():
    chart = draw_predictions(samples(9, wrong=2))
    assert chart.header == ("image", "true digit", "predicted digit", "confidence")
    assert [tuple(row) for row in chart.rows[:3]] == [
        (0, 0, 1, "0.875000"),
        (7, 1, 2, "0.875000"),
        (14, 2, 2, "0.875000"),
    ]
    assert chart.reading == "7 of 9 random test images are predicted right."
    assert not chart.svg


def test_every_image_is_in_the_picture_and_nothing_is_cut_off():
    picture = drawn(9)
    # Nine black squares, in three rows of three.
    _, marks = cv2.connectedComponents((picture.max(axis=2) < 8).astype(np.uint8))
    sizes = np.bincount(marks[marks > 0])
    assert sum(size > 10_000 for size in sizes) == 9
    for edge in (picture[:, :4], picture[:, -4:], picture[:4], picture[-4:]):
        assert (edge == 255).all()


def test_what_is_wrong_has_a_color_of_its_own():
    def crimson(picture: np.ndarray) -> int:
        return int((np.abs(picture.astype(int) - CRIMSON).max(axis=2) < 4).sum())

    assert crimson(drawn(9)) == 0
    assert 0 < crimson(drawn(9, wrong=1)) < crimson(drawn(9, wrong=2))


@pytest.mark.parametrize("count", [1, 4])
def test_a_small_test_split_has_fewer(count):
    assert len(draw_predictions(samples(count)).rows) == count
    assert drawn(count).shape[0] < drawn(9).shape[0]
