import keras
import numpy as np
import pytest

from trainer.data.splits import Split
from trainer.metrics.calibration import apply_temperature
from trainer.metrics.measures import Evaluation, confidence_histogram, pixel_histogram


def answers(rows: list[list[float]], labels: list[int]) -> Evaluation:
    probabilities = np.zeros((len(rows), 10), np.float32)
    for row, (digit, probability, other) in zip(probabilities, rows, strict=True):
        row[digit], row[other] = probability, 1 - probability
    return Evaluation(np.array(labels, np.uint8), probabilities)


def test_accuracy_loss_confidence_and_confusion():
    evaluation = answers([[3, 0.75, 5], [3, 0.75, 5], [7, 1.0, 0]], [3, 5, 7])
    assert evaluation.predicted.tolist() == [3, 3, 7]
    assert (evaluation.accuracy.right, evaluation.accuracy.images) == (2, 3)
    assert evaluation.confidence == pytest.approx([0.75, 0.75, 1.0])
    assert evaluation.loss == pytest.approx(-(np.log(0.75) + np.log(0.25) + 0) / 3)
    confusion = evaluation.confusion
    assert {tuple(cell): confusion[tuple(cell)] for cell in np.argwhere(confusion)} == {
        (3, 3): 1,
        (5, 3): 1,
        (7, 7): 1,
    }


def test_the_loss_is_the_same_as_in_keras(few_digits):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(10, 0.05), 103).astype(np.float32)
    probabilities[0] = np.eye(10)[(few_digits.test.labels[0] + 1) % 10]  # certain, and wrong
    ours = Evaluation(few_digits.test.labels, probabilities).loss
    theirs = keras.losses.SparseCategoricalCrossentropy()(few_digits.test.labels, probabilities)
    assert ours == pytest.approx(float(theirs), rel=1e-4)


def test_a_nan_probability_makes_the_loss_nan():
    evaluation = answers([[3, 0.75, 5], [3, float("nan"), 5]], [3, 3])
    assert np.isnan(evaluation.loss)


def test_a_class_without_images_has_an_empty_row():
    split = Split(np.zeros((1, 28, 28), np.uint8), np.array([4], np.uint8))
    confusion = Evaluation(split.labels, np.full((1, 10), 0.1, np.float32)).confusion
    assert confusion.sum() == 1
    assert confusion.shape == (10, 10)


def test_a_temperature_changes_confidence_and_no_digit():
    evaluation = answers([[3, 0.75, 5], [7, 0.9, 0]], [3, 0])
    cooler = evaluation.at_temperature(0.5)
    assert cooler.probabilities.dtype == np.float32
    assert cooler.probabilities == pytest.approx(apply_temperature(evaluation.probabilities, 0.5), abs=1e-6)
    assert (cooler.predicted == evaluation.predicted).all()
    assert (cooler.confidence > evaluation.confidence).all()
    assert evaluation.at_temperature(1.0) is evaluation


def test_confidences_are_counted_in_twenty_bins():
    probabilities = np.zeros((4, 10), np.float32)
    probabilities[:, 3] = [0.98, 1.0, 0.52, 0.5]
    found = confidence_histogram(Evaluation(np.zeros(4, np.uint8), probabilities))
    assert found[19] == 0.5
    assert found[10] == 0.5
    assert sum(found) == 1


@pytest.mark.parametrize("count", [1, 4_096, 5_000])
def test_pixels_are_counted_in_twenty_bins(count):
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28)).astype(np.uint8)
    expected, _ = np.histogram(images, bins=20, range=(0, 255))
    assert pixel_histogram(images) == pytest.approx(expected / images.size)


def test_paper_and_ink_are_the_outermost_bins():
    images = np.zeros((2, 28, 28), np.uint8)
    images[0] = 255
    found = pixel_histogram(images)
    assert (found[0], found[-1]) == (0.5, 0.5)
