import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.trainer import tf32
from trainer import recipes
from trainer.loop import precision
from trainer.loop.evaluation import Evaluator


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
def test_every_image_is_predicted_once_and_in_order(models, few_digits, count, replicas):
    model, strategy = models[replicas]
    split = few_digits.test.take(np.arange(count))
    evaluation = Evaluator(model, strategy).evaluate(split)
    expected = model(split.images, training=False).numpy()
    assert evaluation.probabilities.shape == (count, 10)
    assert evaluation.probabilities == pytest.approx(expected, abs=1e-5)
    assert evaluation.labels.tolist() == split.labels.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 2])
def test_more_images_than_one_step_holds(models, few_digits, replicas):
    model, strategy = models[replicas]
    split = few_digits.test.take(np.arange(2_345) % 103)
    evaluation = Evaluator(model, strategy).evaluate(split)
    one_by_one = Evaluator(model, strategy).evaluate(few_digits.test)
    assert evaluation.probabilities == pytest.approx(
        one_by_one.probabilities[np.arange(2_345) % 103], abs=1e-5
    )


def test_one_evaluator_serves_splits_of_any_size(models, few_digits):
    evaluator = Evaluator(*models[2])
    sizes = [len(evaluator.evaluate(split).probabilities) for split in few_digits.splits().values()]
    assert sizes == [len(split) for split in few_digits.splits().values()]


def test_tf32_does_not_move_a_measurement(models, few_digits, monkeypatch):
    model, strategy = models[2]
    last = model.layers[-1].kernel
    last.assign(last * 30)  # sure of its answers, as a trained network is
    exact = model(few_digits.test.images, training=False).numpy()
    tf32.emulate(monkeypatch)
    tf.config.experimental.enable_tensor_float_32_execution(True)
    assert np.abs(model(few_digits.test.images, training=False).numpy() - exact).max() > 1e-3
    evaluator = Evaluator(model, strategy)
    assert evaluator.evaluate(few_digits.test).probabilities == pytest.approx(exact, abs=1e-5)
    assert evaluator.evaluate_locally(few_digits.test).probabilities == pytest.approx(exact, abs=1e-5)
    assert tf.config.experimental.tensor_float_32_execution_enabled()
    last.assign(last / 30)


@pytest.mark.slow
@pytest.mark.parametrize("replicas", ["one_replica", "two_replicas"])
def test_a_mixed_network_is_measured_as_it_is_exported(replicas, few_digits, request):
    strategy = request.getfixturevalue(replicas)
    with strategy.scope():
        with precision.under_policy("mixed_bfloat16"):
            model = recipes.load("small-cnn").model()
        exact = recipes.load("small-cnn").model()
    evaluator = Evaluator(model, strategy, exact=exact)
    plain = recipes.load("small-cnn").model()
    for scale in (1.0, 2.0):
        # The weights of now, at each time.
        model.set_weights([scale * weight for weight in model.get_weights()])
        plain.set_weights(model.get_weights())
        expected = plain(few_digits.test.images, training=False).numpy()
        assert evaluator.evaluate(few_digits.test).probabilities == pytest.approx(expected, abs=1e-5)
        assert evaluator.evaluate_locally(few_digits.test).probabilities == pytest.approx(expected, abs=1e-5)
        # How much rounding moves them depends on the processor.
        rounded = model(few_digits.test.images, training=False).numpy()
        assert not np.array_equal(rounded, expected)
