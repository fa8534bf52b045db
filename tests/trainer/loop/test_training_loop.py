import dataclasses

import keras
import numpy as np
import pytest

from schemas.errors import UserError
from trainer import recipes
from trainer.cluster.strategy import make_strategy
from trainer.loop.actions.watchdog import DivergedError
from trainer.loop.training_loop import Trainer
from trainer.recipes.parts.recipe import Recipe


def small(name: str = "dense-128", **changes) -> Recipe:
    changes = {"epochs": 2, "batch": 40} | changes
    return dataclasses.replace(recipes.load(name), **changes)


def train(recipe: Recipe, digits, strategy, seed: int = 1):
    trainer = Trainer(recipe, digits, strategy=strategy, seed=seed)
    return trainer, list(trainer.epochs())


def curve(epochs) -> list[float]:
    return [
        value
        for epoch in epochs
        for value in (epoch.loss, epoch.accuracy, epoch.val_loss, epoch.val_accuracy)
    ]


@pytest.mark.slow
def test_one_and_two_replicas_learn_the_same_at_the_same_global_batch(few_digits, one_replica, two_replicas):
    recipe = small("dense-256-128")
    first, second = (train(recipe, few_digits, strategy)[1] for strategy in (one_replica, two_replicas))
    assert curve(first) == pytest.approx(curve(second), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dense-300-100", "cnn"])
def test_one_and_two_replicas_end_with_the_same_weights(name, few_digits, one_replica, two_replicas):
    # Not Adam, which turns a rounding error of a tiny gradient into a whole step.
    recipe = small(name, optimizer=lambda steps: keras.optimizers.SGD(0.1))
    alone, together = (train(recipe, few_digits, strategy)[0] for strategy in (one_replica, two_replicas))
    for one, two in zip(alone.model.get_weights(), together.model.get_weights(), strict=True):
        assert one == pytest.approx(two, abs=1e-5)


@pytest.mark.slow
def test_two_strategies_in_one_process_are_independent(few_digits, two_replicas):
    other = Trainer(small("cnn"), few_digits, strategy=make_strategy(2), seed=1)
    first = Trainer(small("dense-128"), few_digits, strategy=two_replicas, seed=1)
    losses = [(one.loss, two.loss) for one, two in zip(first.epochs(), other.epochs(), strict=True)]
    assert np.isfinite(losses).all()


@pytest.mark.slow
def test_replicas_keep_equal_weights(few_digits, two_replicas):
    trainer, _ = train(small("dense-512-256-128"), few_digits, two_replicas)
    for variable in trainer.model.variables:
        first, second = (copy.numpy() for copy in two_replicas.experimental_local_results(variable.value))
        assert (first == second).all(), variable.path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "replicas"), [("cnn", "one_replica"), ("dense-512-256-128", "two_replicas")]
)
def test_the_same_seed_gives_the_same_weights(name, replicas, few_digits, request):
    recipe, strategy = small(name, epochs=1), request.getfixturevalue(replicas)
    first, second = (train(recipe, few_digits, strategy, seed=4)[0].model.get_weights() for _ in range(2))
    assert all((one == two).all() for one, two in zip(first, second, strict=True))


@pytest.mark.slow
def test_another_seed_gives_other_weights_and_another_order(few_digits, one_replica):
    first, second = (Trainer(small(), few_digits, strategy=one_replica, seed=seed) for seed in (4, 5))
    assert (first.model.get_weights()[0] != second.model.get_weights()[0]).any()
    second.model.set_weights(first.model.get_weights())
    losses = [[epoch.loss for epoch in trainer.epochs()] for trainer in (first, second)]
    assert losses[0] != losses[1]


@pytest.mark.slow
def test_the_network_overfits_a_few_images(few_digits, one_replica):
    trainer, _ = train(small(epochs=30), few_digits, one_replica)
    assert trainer.evaluate(few_digits.train).accuracy.value == 1.0


@pytest.mark.slow
def test_sparse_and_one_hot_losses_are_the_same_loss(few_digits, one_replica):
    one_hot = small(loss=keras.losses.CategoricalCrossentropy, one_hot=True)
    sparse = small(loss=keras.losses.SparseCategoricalCrossentropy, one_hot=False)
    (_, first), (_, second) = (train(recipe, few_digits, one_replica) for recipe in (one_hot, sparse))
    assert curve(first) == pytest.approx(curve(second), rel=1e-4)


def test_one_step_equals_keras_train_on_batch(few_digits, one_replica):
    recipe = small(epochs=1, batch=400, optimizer=lambda steps: keras.optimizers.SGD(0.1))
    trainer = Trainer(recipe, few_digits, strategy=one_replica, seed=9)
    reference = recipe.model()
    reference.set_weights(trainer.model.get_weights())
    reference.compile(
        optimizer=recipe.optimizer(1), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    loss, accuracy = reference.train_on_batch(few_digits.train.images, few_digits.train.labels)
    (epoch,) = trainer.epochs()
    # All 400 images are one batch, whose order does not matter.
    assert (epoch.loss, epoch.accuracy) == pytest.approx((float(loss), float(accuracy)), rel=1e-5)
    for ours, theirs in zip(trainer.model.get_weights(), reference.get_weights(), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)


def test_records_count_from_one_and_measure_the_epoch(few_digits, one_replica):
    trainer, epochs = train(small(epochs=3), few_digits, one_replica)
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3]
    assert all(epoch.images_per_second * epoch.seconds == pytest.approx(400) for epoch in epochs)
    assert epochs[-1].val_loss == pytest.approx(trainer.evaluate(few_digits.validation).loss)
    assert epochs[-1].val_accuracy == trainer.evaluate(few_digits.validation).accuracy.value


def test_without_validation_images_there_is_no_validation(few_digits, one_replica):
    _, epochs = train(small(epochs=1), dataclasses.replace(few_digits, validation=None), one_replica)
    assert (epochs[0].val_loss, epochs[0].val_accuracy) == (None, None)


def exploding(rate: float) -> Recipe:
    return small(optimizer=lambda steps: keras.optimizers.SGD(rate), epochs=2, batch=20)


@pytest.mark.slow
@pytest.mark.parametrize("replicas", ["one_replica", "two_replicas"])
def test_an_exploding_loss_stops_the_job_and_names_the_steps(replicas, few_digits, request):
    with pytest.raises(DivergedError, match=r"in epoch 1, steps \d+ to \d+"):
        train(exploding(1e30), few_digits, request.getfixturevalue(replicas))


def test_nan_weights_after_the_last_step_are_noticed(few_digits, one_replica):
    recipe = small(epochs=1, batch=400, optimizer=lambda steps: keras.optimizers.SGD(float("nan")))
    with pytest.raises(DivergedError, match="steps 1 to 1"):
        train(recipe, few_digits, one_replica)


def test_a_batch_that_does_not_divide_is_refused(few_digits, two_replicas):
    with pytest.raises(UserError, match=r"evenly over 2 replicas: 33. Give --batch 32"):
        Trainer(small(batch=33), few_digits, strategy=two_replicas, seed=0)


def test_fewer_images_than_a_batch_are_refused(few_digits, one_replica):
    with pytest.raises(UserError, match="Give --batch 400 or less"):
        train(small(batch=401), few_digits, one_replica)


def test_one_line_per_epoch(few_digits, one_replica, capsys):
    train(small(epochs=2), few_digits, one_replica)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("epoch 1/2: loss ")
    assert second.endswith("images/s, 0 s left")
    assert "val accuracy" in second


def test_pixels_are_passed_unchanged(few_digits, one_replica):
    trainer = Trainer(small(), few_digits, strategy=one_replica, seed=0)
    seen = trainer.evaluate(few_digits.test).probabilities
    assert seen == pytest.approx(trainer.model(few_digits.test.images, training=False).numpy(), abs=1e-5)
    assert np.ptp(seen) > 0


@pytest.mark.slow
def test_moving_averages_are_those_of_all_replicas_images(few_digits, one_replica, two_replicas):
    # One step, so that the first layer sees the same in both runs.
    recipe = small("dense-512-256-128", epochs=1, batch=400)
    alone, together = (
        train(recipe, few_digits, strategy)[0].model.get_layer(index=3).moving_mean.numpy()
        for strategy in (one_replica, two_replicas)
    )
    assert np.abs(alone).max() > 1e-3
    assert alone == pytest.approx(together, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("replicas", ["one_replica", "two_replicas"])
def test_a_copy_outside_the_strategy_continues_the_training(replicas, few_digits, request):
    recipe = small("dense-512-256-128", batch=100)
    trainer, _ = train(recipe, few_digits, request.getfixturevalue(replicas))
    copy = trainer.copy_outside_strategy()
    expected = trainer.evaluate(few_digits.test)
    assert copy(few_digits.test.images, training=False).numpy() == pytest.approx(
        expected.probabilities, abs=1e-5
    )
    assert int(copy.optimizer.iterations) == 2 * 4
    moments = copy.optimizer.variables[2:]
    assert all(np.abs(moment.numpy()).max() > 0 for moment in moments if len(moment.shape) == 2)


@pytest.mark.slow
def test_a_copy_outside_the_strategy_can_be_fitted(few_digits, two_replicas):
    copy = train(small(epochs=1), few_digits, two_replicas)[0].copy_outside_strategy()
    history = copy.fit(few_digits.train.images, few_digits.train.labels, verbose=0)
    assert history.history["loss"][0] > 0


@pytest.mark.slow
def test_the_optimizer_gets_the_number_of_steps(few_digits, one_replica):
    asked = []

    def optimizer(steps: int) -> keras.optimizers.Optimizer:
        asked.append(steps)
        return keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, steps))

    trainer, _ = train(small(epochs=3, batch=30, optimizer=optimizer), few_digits, one_replica)
    copy = trainer.copy_outside_strategy()
    assert asked == [3 * 13] * 2
    assert int(copy.optimizer.iterations) == 39
    assert float(copy.optimizer.learning_rate) == pytest.approx(0, abs=1e-6)
