import numpy as np
import pytest

from trainer.metrics.histograms import confidence_histogram, pixel_histogram
from trainer.metrics.measures import Evaluation


def test_confidences_are_counted_by_the_twentieth():
    probabilities = np.zeros((4, 10), np.float32)
    probabilities[:, 3] = [0.98, 1.0, 0.52, 0.5]
    found = confidence_histogram(Evaluation(np.zeros(4, np.uint8), probabilities))
    assert found[19] == 0.5
    assert found[10] == 0.5
    assert sum(found) == 1


@pytest.mark.parametrize("count", [1, 4_096, 5_000])
def test_pixels_are_counted_by_the_twentieth(count):
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28)).astype(np.uint8)
    expected, _ = np.histogram(images, bins=20, range=(0, 255))
    assert pixel_histogram(images) == pytest.approx(expected / images.size)


def test_paper_and_ink_are_the_outermost_bins():
    images = np.zeros((2, 28, 28), np.uint8)
    images[0] = 255
    found = pixel_histogram(images)
    assert (found[0], found[-1]) == (0.5, 0.5)
