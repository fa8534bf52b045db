import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.confidence.scaling import apply_temperature
from digitmill.ink_statistics import InkCounter
from schemas.digit import NOT_A_DIGIT
from schemas.model.trust import NotDigits
from trainer.data.splits import Split
from trainer.metrics.measures import Evaluation, confidence_histogram, count_ink, pixel_histogram


def answers(rows: list[list[float]], labels: list[int]) -> Evaluation:
    probabilities = np.zeros((len(rows), 10), np.float32)
    for row, (digit, probability, other) in zip(probabilities, rows, strict=True):
        row[digit], row[other] = probability, 1 - probability
    return Evaluation.of(np.array(labels, np.uint8), probabilities)


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
    ours = Evaluation.of(few_digits.test.labels, probabilities).loss
    theirs = keras.losses.SparseCategoricalCrossentropy()(few_digits.test.labels, probabilities)
    assert ours == pytest.approx(float(theirs), rel=1e-4)


def test_a_nan_probability_makes_the_loss_nan():
    evaluation = answers([[3, 0.75, 5], [3, float("nan"), 5]], [3, 3])
    assert np.isnan(evaluation.loss)


def test_a_class_without_images_has_an_empty_row():
    split = Split(np.zeros((1, 28, 28), np.uint8), np.array([4], np.uint8))
    confusion = Evaluation.of(split.labels, np.full((1, 10), 0.1, np.float32)).confusion
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
    found = confidence_histogram(Evaluation.of(np.zeros(4, np.uint8), probabilities))
    assert found[19] == 0.5
    assert found[10] == 0.5
    assert sum(found) == 1


@pytest.mark.parametrize("count", [1, 4_096, 5_000])
def test_pixels_are_counted_in_twenty_bins(count):
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28)).astype(np.uint8)
    expected, _ = np.histogram(images, bins=20, range=(0, 255))
    found = pixel_histogram(Split(images, np.zeros(count, np.uint8)))
    assert found == pytest.approx(expected / images.size)


def test_paper_and_ink_are_the_outermost_bins():
    images = np.zeros((2, 28, 28), np.uint8)
    images[0] = 255
    found = pixel_histogram(Split(images, np.zeros(2, np.uint8)))
    assert (found[0], found[-1]) == (0.5, 0.5)


def test_pixels_of_pictures_that_are_no_digit_are_not_counted():
    images = np.zeros((2, 28, 28), np.uint8)
    images[0] = 255
    found = pixel_histogram(Split(images, np.array([3, NOT_A_DIGIT], np.uint8)))
    assert (found[0], found[-1]) == (0, 1)


def test_the_ink_of_digits_is_counted_and_that_of_others_is_not():
    images = np.random.default_rng(0).integers(0, 256, (5_000, 28, 28)).astype(np.uint8)
    labels = np.where(np.arange(5_000) % 5, 3, NOT_A_DIGIT).astype(np.uint8)
    counter = InkCounter()
    counter.add(images[labels == 3])
    assert count_ink(Split(images, labels)) == counter.counts()
    assert counter.counts().images == 4_000


def test_pictures_that_are_no_digit_are_apart_from_all_metrics():
    rows = [[3, 0.75, 5], [0, 0.95, 1], [7, 1.0, 0], [4, 0.5, 2]]
    mixed = answers(rows, [3, NOT_A_DIGIT, 7, NOT_A_DIGIT])
    digits = answers([rows[0], rows[2]], [3, 7])
    assert (mixed.accuracy, mixed.loss) == (digits.accuracy, digits.loss)
    assert (mixed.confusion == digits.confusion).all()
    assert mixed.images.tolist() == [0, 2]
    assert [mixed.not_digits_at(at).accepted for at in (0.5, 0.9, 0.96)] == [2, 1, 0]
    assert mixed.not_digits_at(0.9).images == 2
    assert digits.not_digits_at(0.1) == NotDigits(0, 0)
    cooler = mixed.at_temperature(0.5)
    assert cooler.not_digits == pytest.approx(apply_temperature(mixed.not_digits, 0.5), abs=1e-6)
    assert cooler.images.tolist() == [0, 2]


@given(st.lists(st.tuples(st.integers(0, NOT_A_DIGIT), st.booleans()), max_size=40))
def test_taking_some_images_is_evaluating_them(rows):
    labels = np.array([label for label, _ in rows], np.uint8)
    which = np.array([chosen for _, chosen in rows], bool)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(10), len(rows)).astype(np.float32)
    found = Evaluation.of(labels, probabilities).take(which)
    expected = Evaluation.of(labels[which], probabilities[which])
    assert (found.labels == expected.labels).all()
    assert (found.probabilities == expected.probabilities).all()
    assert (found.not_digits == expected.not_digits).all()
    assert found.images.tolist() == np.flatnonzero(which & (labels != NOT_A_DIGIT)).tolist()
