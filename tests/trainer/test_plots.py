import cv2
import numpy as np
import pytest

from trainer import plots
from trainer.history import Epoch
from trainer.measures import Evaluation

EPOCHS = [Epoch(n, 1 / n, 1 - 0.1 / n, 0.9 / n, 1 - 0.2 / n, 1.0, 100.0) for n in (1, 2, 3)]
UNVALIDATED = [Epoch(n, 1 / n, 1 - 0.1 / n, None, None, 1.0, 100.0) for n in (1, 2, 3)]


@pytest.fixture
def answers(few_digits) -> Evaluation:
    """Right but for every tenth image, which is taken for the next digit."""
    labels = few_digits.test.labels
    answered = labels.copy()
    answered[::10] = (answered[::10] + 1) % 10
    probabilities = np.full((len(labels), 10), 0.02, np.float32)
    probabilities[np.arange(len(labels)), answered] = 0.82
    return Evaluation(labels, probabilities)


@pytest.mark.parametrize("epochs", [EPOCHS, EPOCHS[:1], UNVALIDATED])
def test_all_pictures_are_written(few_digits, answers, tmp_path, epochs):
    plots.write(tmp_path, epochs, digits=few_digits, test=answers)
    pictures = {path.stem: cv2.imread(str(path)) for path in tmp_path.glob("*.png")}
    assert set(pictures) == {
        "accuracy",
        "loss",
        "coverage",
        "confusion",
        "class_distribution",
        "predictions",
    }
    for picture in pictures.values():
        assert min(picture.shape[:2]) > 600
        # Nothing is cut off at the edges.
        frame = np.concatenate([picture[:4].reshape(-1), picture[-4:].reshape(-1)])
        sides = np.concatenate([picture[:, :4].reshape(-1), picture[:, -4:].reshape(-1)])
        assert (frame == 255).all()
        assert (sides == 255).all()
        assert picture.min() < 100


def test_without_epochs_there_are_no_curves(few_digits, answers, tmp_path):
    plots.write(tmp_path, [], digits=few_digits, test=answers)
    assert {path.stem for path in tmp_path.iterdir()} == {
        "coverage",
        "confusion",
        "class_distribution",
        "predictions",
    }


def test_curves_show_training_and_validation():
    for figure, training, validation in (
        (plots.accuracy_curves(EPOCHS), [e.accuracy for e in EPOCHS], [e.val_accuracy for e in EPOCHS]),
        (plots.loss_curves(EPOCHS), [e.loss for e in EPOCHS], [e.val_loss for e in EPOCHS]),
    ):
        lines = figure.axes[0].get_lines()
        assert [list(line.get_ydata()) for line in lines] == [training, validation]
        assert [list(line.get_xdata()) for line in lines] == [[1, 2, 3]] * 2


def test_curves_without_validation_show_training_alone():
    assert len(plots.loss_curves(UNVALIDATED).axes[0].get_lines()) == 1


def test_coverage_counts_wrong_answers_among_the_surest(few_digits):
    labels = few_digits.test.labels[:4]
    probabilities = np.zeros((4, 10), np.float32)
    answered = [labels[0], labels[1], (labels[2] + 1) % 10, labels[3]]
    probabilities[np.arange(4), answered] = [0.9, 0.5, 0.8, 0.7]
    (line,) = plots.coverage_curve(Evaluation(labels, probabilities)).axes[0].get_lines()
    assert list(line.get_xdata()) == [0.25, 0.5, 0.75, 1]
    assert list(line.get_ydata()) == [0, 1 / 2, 1 / 3, 1 / 4]


def test_the_confusion_matrix_shows_every_count(answers):
    shown = {}
    for text in plots.confusion_matrix(answers).axes[0].texts:
        column, row = text.get_position()
        shown[row, column] = int(text.get_text())
    confusion = answers.confusion
    assert shown == {tuple(cell): confusion[tuple(cell)] for cell in np.argwhere(confusion)}


def test_the_class_distribution_shows_every_split(few_digits):
    axes = plots.class_distribution(few_digits).axes[0]
    heights = [tuple(int(bar.get_height()) for bar in bars) for bars in axes.containers]
    assert heights == [split.class_counts() for split in few_digits.splits().values()]


def test_predictions_show_true_and_predicted_labels_worst_ones_too(few_digits, answers):
    figure = plots.sample_predictions(few_digits.test, answers)
    titles = [axes.get_title() for axes in figure.axes]
    first, second = few_digits.test.labels[0], (few_digits.test.labels[0] + 1) % 10
    assert titles[0] == f"✗ {first} → {second} (82%)"
    assert titles[1] == f"{few_digits.test.labels[4]} → {few_digits.test.labels[4]} (82%)"
    assert [title[0] for title in titles[24:35]] == ["✗"] * 11
    assert "✗" not in "".join(titles[35:])


def test_predictions_of_fewer_images_than_places(few_digits, answers):
    few = few_digits.test.take(np.arange(3))
    figure = plots.sample_predictions(few, Evaluation(few.labels, answers.probabilities[:3]))
    assert sum(bool(axes.images) for axes in figure.axes) == 6
