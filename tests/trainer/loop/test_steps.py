import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from schemas.digit import NOT_A_DIGIT
from schemas.errors import UserError
from trainer import recipes
from trainer.data.splits import balance
from trainer.loop.steps import StepScheduler, expose_outliers
from trainer.loop.training_loop import Trainer

SMOOTHED = functools.partial(keras.losses.CategoricalCrossentropy, label_smoothing=0.1)


@given(st.integers(1, 100_000), st.lists(st.floats(0, 100), max_size=30))
def test_a_chunk_has_at_least_one_step_and_at_most_a_tenth_of_an_epoch(steps, times):
    scheduler = StepScheduler(steps)
    for seconds in [0.0, *times]:
        assert 1 <= scheduler.num_steps <= max(1, -(-steps // 10))
        scheduler.record(seconds)


def test_fast_chunks_grow():
    scheduler = StepScheduler(10_000)
    for _ in range(20):
        scheduler.record(0.01)
    assert scheduler.num_steps == 1_000


def test_slow_chunks_shrink_to_single_steps():
    scheduler = StepScheduler(10_000)
    for _ in range(20):
        scheduler.record(60.0)
    assert scheduler.num_steps == 1


def test_a_chunk_of_the_right_duration_stays():
    scheduler = StepScheduler(10_000)
    before = scheduler.num_steps
    scheduler.record(1.5)
    assert scheduler.num_steps == before


def trained(digits, strategy, *, name="dense-128", teacher=None, **changes) -> Trainer:
    settings = {"epochs": 1, "batch": 100, "optimizer": lambda steps: keras.optimizers.SGD(0.1)}
    recipe = dataclasses.replace(recipes.load(name), **settings | changes)
    trainer = Trainer(recipe, digits, strategy=strategy, seed=1, teacher=teacher)
    list(trainer.epochs())
    return trainer


def uniform_where_no_digit(labels: np.ndarray) -> np.ndarray:
    return np.vstack([np.eye(10), np.full(10, 0.1)])[labels].astype(np.float32)


@pytest.mark.parametrize("name", ["dense-128", "dense-256-128"])
def test_the_target_of_a_picture_that_is_no_digit_is_uniform(name, with_not_digits, one_replica):
    recipe = dataclasses.replace(
        recipes.load(name), epochs=1, batch=500, optimizer=lambda steps: keras.optimizers.SGD(0.1)
    )
    trainer = Trainer(recipe, with_not_digits, strategy=one_replica, seed=9)
    train = with_not_digits.train
    reference = recipe.model()
    reference.set_weights(trainer.model.get_weights())
    reference.compile(optimizer=recipe.optimizer(1), loss="categorical_crossentropy")
    predicted = reference(train.images).numpy().argmax(axis=1)
    loss = reference.train_on_batch(train.images, uniform_where_no_digit(train.labels))
    (epoch,) = trainer.epochs()
    assert epoch.loss == pytest.approx(float(loss), rel=1e-5)
    digits = train.labels != NOT_A_DIGIT
    assert epoch.accuracy == pytest.approx((predicted == train.labels)[digits].mean(), abs=1e-6)
    for ours, theirs in zip(trainer.model.get_weights(), reference.get_weights(), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"accumulate": 5},
        {"xla": True},
        {"ema": 0.9, "clip_norm": 1.0},
        {"name": "dense-256-128", "loss": SMOOTHED, "label_smoothing": 0.1},
    ],
    ids=str,
)
def test_replicas_learn_pictures_that_are_no_digit_as_one_does(
    changes, with_not_digits, one_replica, two_replicas
):
    one, two = (trained(with_not_digits, each, **changes) for each in (one_replica, two_replicas))
    for ours, theirs in zip(one.model.get_weights(), two.model.get_weights(), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    assert one.history[0].accuracy == pytest.approx(two.history[0].accuracy)


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
def test_a_network_learns_to_be_unsure_of_what_is_no_digit(weighted, with_not_digits, one_replica):
    digits = balance(with_not_digits) if weighted else with_not_digits
    trainer = trained(digits, one_replica, epochs=30, optimizer=lambda steps: keras.optimizers.Adam(1e-3))
    found = trainer.evaluate(with_not_digits.validation)
    assert found.accuracy.value > 0.8
    assert np.median(found.confidence) > 0.8
    assert np.median(found.not_digits.max(axis=1)) < 0.3


def test_a_teacher_has_no_say_about_what_is_no_digit():
    taught = tf.constant([[0.7, 0.3] + [0.0] * 8, [0.7, 0.3] + [0.0] * 8])
    found = expose_outliers(taught, tf.constant([1, NOT_A_DIGIT], tf.uint8)).numpy()
    assert found == pytest.approx(np.array([[0.7, 0.3] + [0.0] * 8, [0.1] * 10]))


def test_another_loss_on_class_numbers_is_refused(with_not_digits, one_replica):
    with pytest.raises(UserError, match="unreadable need a recipe with Keras's cross-entropy as loss"):
        trained(with_not_digits, one_replica, loss=keras.losses.Poisson)
