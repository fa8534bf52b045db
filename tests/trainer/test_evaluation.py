import keras
import numpy as np
import pytest

from trainer import precision, recipes
from trainer.data.splits import Split
from trainer.evaluation import Evaluation, Evaluator


@pytest.fixture(scope="module")
def models(one_replica, two_replicas):
    """The same untrained network under one and two replicas, with its strategy."""
    found = {}
    for strategy in (one_replica, two_replicas):
        keras.utils.set_random_seed(11)
        with strategy.scope():
            found[strategy.num_replicas_in_sync] = (recipes.load("cnn").model(), strategy)
    return found


@pytest.mark.parametrize("count", [1, 2, 3, 50, 103])
@pytest.mark.parametrize("replicas", [1, 2])
def test_every_image_is_answered_once_and_in_order(models, few_digits, count, replicas):
    model, strategy = models[replicas]
    split = few_digits.test.take(np.arange(count))
    evaluation = Evaluator(model, strategy).run(split)
    expected = model(split.images, training=False).numpy()
    assert evaluation.probabilities.shape == (count, 10)
    assert evaluation.probabilities == pytest.approx(expected, abs=1e-5)
    assert evaluation.labels.tolist() == split.labels.tolist()


@pytest.mark.parametrize("replicas", [1, 2])
def test_more_images_than_one_step_takes(models, few_digits, replicas):
    model, strategy = models[replicas]
    split = few_digits.test.take(np.arange(2_345) % 103)
    evaluation = Evaluator(model, strategy).run(split)
    one_by_one = Evaluator(model, strategy).run(few_digits.test)
    assert evaluation.probabilities == pytest.approx(
        one_by_one.probabilities[np.arange(2_345) % 103], abs=1e-5
    )


def test_one_evaluator_serves_splits_of_any_size(models, few_digits):
    evaluator = Evaluator(*models[2])
    sizes = [len(evaluator.run(split).probabilities) for split in few_digits.splits().values()]
    assert sizes == [len(split) for split in few_digits.splits().values()]


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


def test_the_loss_is_keras_s(few_digits):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(10, 0.05), 103).astype(np.float32)
    probabilities[0] = np.eye(10)[(few_digits.test.labels[0] + 1) % 10]  # certain, and wrong
    ours = Evaluation(few_digits.test.labels, probabilities).loss
    theirs = keras.losses.SparseCategoricalCrossentropy()(few_digits.test.labels, probabilities)
    assert ours == pytest.approx(float(theirs), rel=1e-4)


def test_a_probability_that_is_no_number_shows_in_the_loss():
    evaluation = answers([[3, 0.75, 5], [3, float("nan"), 5]], [3, 3])
    assert np.isnan(evaluation.loss)


def test_a_class_without_images_has_an_empty_row():
    split = Split(np.zeros((1, 28, 28), np.uint8), np.array([4], np.uint8))
    confusion = Evaluation(split.labels, np.full((1, 10), 0.1, np.float32)).confusion
    assert confusion.sum() == 1
    assert confusion.shape == (10, 10)


@pytest.mark.parametrize("replicas", ["one_replica", "two_replicas"])
def test_a_mixed_network_is_measured_as_it_is_exported(replicas, few_digits, request):
    strategy = request.getfixturevalue(replicas)
    with strategy.scope():
        with precision.under("mixed_bfloat16"):
            model = recipes.load("small-cnn").model()
        exact = recipes.load("small-cnn").model()
    evaluator = Evaluator(model, strategy, exact=exact)
    plain = recipes.load("small-cnn").model()
    for scale in (1.0, 2.0):
        # The weights of now, at each time.
        model.set_weights([scale * weight for weight in model.get_weights()])
        plain.set_weights(model.get_weights())
        expected = plain(few_digits.test.images, training=False).numpy()
        assert evaluator.run(few_digits.test).probabilities == pytest.approx(expected, abs=1e-5)
        assert evaluator.run_alone(few_digits.test).probabilities == pytest.approx(expected, abs=1e-5)
        rounded = model(few_digits.test.images, training=False).numpy()
        assert np.abs(rounded - expected).max() > 1e-4
