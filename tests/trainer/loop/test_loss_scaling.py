import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer import recipes
from trainer.loop import precision, updates
from trainer.loop.loss_scaling import LossScale
from trainer.loop.training_loop import Trainer
from trainer.run.checkpoints import CheckpointOptions, Checkpoints
from trainer.run.run_location import LocalPlace

RECIPE = dataclasses.replace(recipes.load("dense-128"), ema=0.9)


def stepper(strategy, gradient_of_step):
    """A variable, its optimizer and scale, and a function that does a step with the next gradient."""
    with strategy.scope():
        variable = keras.Variable([1.0, 2.0])
        optimizer = updates.make_optimizer(RECIPE, 100)
        optimizer.build([variable])
        scale = LossScale()

    def on_replica(gradient: tf.Tensor) -> None:
        share = scale.scale(gradient) / strategy.num_replicas_in_sync
        updates.apply(optimizer, [share], [variable], clip_norm=None, loss_scale=scale)

    run = tf.function(lambda gradient: strategy.run(on_replica, args=(gradient,)))

    def step(number: int) -> list[np.ndarray]:
        run(tf.constant(gradient_of_step(number), tf.float32))
        return [state.numpy() for state in (variable, *optimizer.variables)]

    return step, scale


@pytest.mark.parametrize("replicas", ["one_replica", "two_replicas"])
def test_a_gradient_that_overflows_changes_nothing_but_the_scale(replicas, request):
    step, scale = stepper(
        request.getfixturevalue(replicas), lambda number: [0.5, np.inf if number == 1 else 0.5]
    )
    first = step(0)
    factor = float(scale.variables[0].numpy())
    assert all(np.array_equal(*pair) for pair in zip(first, step(1), strict=True))
    assert [variable.numpy() for variable in scale.variables] == [factor / 2, 0]
    assert not np.array_equal(first[0], step(2)[0])
    assert [variable.numpy() for variable in scale.variables] == [factor / 2, 1]


def test_the_scale_doubles_after_many_finite_steps(one_replica):
    step, scale = stepper(one_replica, lambda number: [0.5, 0.5])
    factor = float(scale.variables[0].numpy())
    scale.variables[1].assign(1_998)
    step(0)
    assert scale.variables[0].numpy() == factor
    step(1)
    assert [variable.numpy() for variable in scale.variables] == [2 * factor, 0]


def test_the_scale_does_not_change_the_update(one_replica):
    step, scale = stepper(one_replica, lambda number: [0.5, -1.0])
    scale.variables[0].assign(4.0)
    four = [step(number)[0] for number in range(3)]
    step, _ = stepper(one_replica, lambda number: [0.5, -1.0])
    assert np.array_equal(four, [step(number)[0] for number in range(3)])


@pytest.mark.slow
def test_a_resumed_float16_training_ends_with_the_same_bits(few_digits, one_replica, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "mixed_policy", lambda: "mixed_float16")
    recipe = dataclasses.replace(recipes.load("dense-128"), epochs=2, batch=40, precision="mixed")
    options = CheckpointOptions(Checkpoints(LocalPlace(tmp_path)))

    def trainer() -> Trainer:
        return Trainer(recipe, few_digits, strategy=one_replica, seed=1, checkpointing=options)

    whole, half = trainer(), trainer()
    next(half.epochs())
    resumed = trainer()
    resumed.restore(options.checkpoints.load_newest())
    for each in (whole, resumed):
        list(each.epochs())
    pairs = zip(whole.model.get_weights(), resumed.model.get_weights(), strict=True)
    assert all(np.array_equal(*pair) for pair in pairs)
    assert "loss_scale/0" in options.checkpoints.load_newest().arrays
