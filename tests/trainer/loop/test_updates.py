import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer import recipes
from trainer.loop import updates, weights
from trainer.recipes.parts import schedules
from trainer.train_options import SCHEDULES

RECIPE = recipes.load("dense-128")


def optimizer(**changes) -> keras.optimizers.Optimizer:
    return updates.make_optimizer(dataclasses.replace(RECIPE, **changes), 100)


def stepped(strategy, made, *, gradients, clip_norm=None, steps=3, ours=True, xla=False) -> list[np.ndarray]:
    """Two variables after some steps; a replica's gradients are its share."""
    replicas = strategy.num_replicas_in_sync
    with strategy.scope():
        variables = [keras.Variable([1.0, 2.0]), keras.Variable([[3.0]])]
        chosen = made()
        chosen.build(variables)

    def step() -> None:
        context = tf.distribute.get_replica_context()
        # Unequal shares that add up.
        number = tf.cast(context.replica_id_in_sync_group, tf.float32)
        share = 1.0 if replicas == 1 else 0.25 + 0.5 * number
        mine = [tf.constant(gradient) * share for gradient in gradients]
        if ours:
            updates.apply(chosen, mine, variables, clip_norm=clip_norm, xla=xla)
        else:
            chosen.apply(mine, variables)

    run = tf.function(lambda: strategy.run(step))
    for _ in range(steps):
        run()
    assert int(chosen.iterations.numpy()) == steps
    found = [variable.numpy() for variable in variables]
    return found + [average.numpy() for average in weights.averages(chosen) or ()]


MADE = {
    "sgd": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.1),
    "adamw": lambda: keras.optimizers.AdamW(0.1, weight_decay=0.2),
}
AVERAGED = {"ema": lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)}
GRADIENTS = [[0.5, -1.0], [[2.0]]]
REPLICAS = pytest.mark.parametrize("replicas", ["one_replica", "two_replicas"])


@REPLICAS
@pytest.mark.parametrize("name", [*MADE, *AVERAGED])
def test_a_compiled_update_is_the_same(name, replicas, request):
    strategy, made = request.getfixturevalue(replicas), (MADE | AVERAGED)[name]
    plain = stepped(strategy, made, gradients=GRADIENTS, clip_norm=0.5)
    compiled = stepped(strategy, made, gradients=GRADIENTS, clip_norm=0.5, xla=True)
    for one, other in zip(plain, compiled, strict=True):
        assert one == pytest.approx(other, rel=1e-6)


def test_the_rate_of_a_scaled_recipe_rises_to_its_multiple():
    made = optimizer(rate_factor=4.0)
    rate = made._learning_rate
    # A fifth of the 100 steps, since the recipe has few epochs.
    assert [float(rate(step)) for step in (0, 10, 20, 99)] == pytest.approx([1e-3, 2.5e-3, 4e-3, 4e-3])


@REPLICAS
@pytest.mark.parametrize("name", MADE)
def test_without_clipping_the_update_equals_keras(name, replicas, request):
    strategy = request.getfixturevalue(replicas)
    ours = stepped(strategy, MADE[name], gradients=GRADIENTS)
    keras_s = stepped(strategy, MADE[name], gradients=GRADIENTS, ours=False)
    for one, other in zip(ours, keras_s, strict=True):
        assert one == pytest.approx(other, abs=1e-6)


@pytest.mark.parametrize("name", MADE | AVERAGED)
def test_two_replicas_clip_what_one_clips(name, one_replica, two_replicas):
    one, two = (
        stepped(strategy, (MADE | AVERAGED)[name], gradients=GRADIENTS, clip_norm=0.3)
        for strategy in (one_replica, two_replicas)
    )
    for alone, together in zip(one, two, strict=True):
        assert alone == pytest.approx(together, abs=1e-5)


@REPLICAS
def test_early_averages_forget_the_initial_weights(replicas, request):
    strategy = request.getfixturevalue(replicas)
    slow = lambda: keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)  # noqa: E731
    *_, first, second = stepped(strategy, slow, gradients=[[1.0, 1.0], [[0.0]]], steps=4)
    # The weight goes 0, -1, -2, -3 beside its start; decays are 0, 1/11, 2/12, 3/13.
    expected = 0.0
    for step, weight in enumerate((0, -1, -2, -3)):
        decay = step / (10 + step)
        expected = decay * expected + (1 - decay) * weight
    assert first == pytest.approx(np.array([0, 1]) + expected, abs=1e-6)
    assert second == pytest.approx(np.array([[3.0]]))


def test_late_averages_have_the_recipes_decay(one_replica):
    made = lambda: keras.optimizers.SGD(0.0, use_ema=True, ema_momentum=0.5)  # noqa: E731
    with one_replica.scope():
        variable, chosen = keras.Variable([8.0]), made()
        chosen.build([variable])
    chosen.iterations.assign(100)
    weights.averages(chosen)[0].assign([0.0])
    one_replica.run(lambda: updates.apply(chosen, [tf.zeros(1)], [variable], clip_norm=None))
    assert weights.averages(chosen)[0].numpy() == pytest.approx([4.0])


@REPLICAS
def test_clipping_bounds_the_global_norm(replicas, request):
    strategy = request.getfixturevalue(replicas)
    plain = lambda: keras.optimizers.SGD(1.0)  # noqa: E731
    first, second = stepped(strategy, plain, gradients=GRADIENTS, clip_norm=0.3, steps=1)
    moved = np.concatenate([first - [1, 2], (second - 3).ravel()])
    assert np.linalg.norm(moved) == pytest.approx(0.3, rel=1e-4)
    assert moved / -0.3 == pytest.approx(np.array([0.5, -1, 2]) / np.sqrt(5.25), rel=1e-4)


def test_a_gradient_below_the_norm_is_left_alone(one_replica):
    free = stepped(one_replica, MADE["sgd"], gradients=GRADIENTS)
    bound = stepped(one_replica, MADE["sgd"], gradients=GRADIENTS, clip_norm=100.0)
    assert all((one == other).all() for one, other in zip(free, bound, strict=True))


def test_constraints_are_kept(one_replica):
    with one_replica.scope():
        variable = keras.layers.Dense(1, kernel_constraint="non_neg")
        variable.build((None, 1))
        made = keras.optimizers.SGD(10.0)
        made.build([variable.kernel])
    one_replica.run(lambda: updates.apply(made, [tf.ones((1, 1))], [variable.kernel], clip_norm=None))
    assert variable.kernel.numpy() == 0


@pytest.mark.parametrize("kind", [keras.optimizers.Nadam, keras.optimizers.LossScaleOptimizer])
def test_an_optimizer_with_a_custom_update_is_refused(kind):
    made = kind(keras.optimizers.SGD(0.1)) if kind is keras.optimizers.LossScaleOptimizer else kind(0.1)
    with pytest.raises(ValueError, match=f"unsupported optimizer: {kind.__name__}"):
        optimizer(optimizer=lambda steps: made)


def test_a_recipes_schedule_rate_and_averaging_are_set():
    made = optimizer(schedule="one-cycle", learning_rate=0.5, ema=0.75)
    assert (made.use_ema, made.ema_momentum) == (True, 0.75)
    made.iterations.assign(30)
    assert float(made.learning_rate) == pytest.approx(0.5)
    assert float(optimizer(learning_rate=0.25).learning_rate) == 0.25
    cosine = optimizer(schedule="warmup-cosine")
    cosine.iterations.assign(5)
    assert float(cosine.learning_rate) == pytest.approx(1e-3)


def rates(recipe) -> np.ndarray:
    """The learning rate of each of 100 steps."""
    return np.array([rate for _, rate in schedules.sample_rates(updates.make_optimizer(recipe, 100), 100)])


RECIPES = pytest.mark.parametrize("name", ["dense-128", "cnn", "small-cnn", "fast-99"])
"""One with a constant rate, one whose rate only falls, two that warm up: from 0, and from a share."""


@RECIPES
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_another_schedule_keeps_the_recipes_greatest_rate(name, schedule):
    recipe = recipes.load(name)
    found = rates(dataclasses.replace(recipe, schedule=schedule))
    assert found.max() == pytest.approx(rates(recipe).max(), rel=1e-5)


@RECIPES
def test_another_rate_keeps_the_shape_of_the_recipes_schedule(name):
    recipe = recipes.load(name)
    own, found = rates(recipe), rates(dataclasses.replace(recipe, learning_rate=0.5))
    assert found.max() == pytest.approx(0.5, rel=1e-5)
    assert found / found.max() == pytest.approx(own / own.max(), abs=1e-5)


def test_averages_replace_the_weights_temporarily(one_replica):
    with one_replica.scope():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        made = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
        made.build(model.trainable_variables)
    before = model.get_weights()
    for average in weights.averages(made):
        average.assign(np.full(average.shape, 7, np.float32))
    with weights.averaged(model, made):
        assert all((weight == 7).all() for weight in model.get_weights())
    assert all((one == other).all() for one, other in zip(model.get_weights(), before, strict=True))


def test_without_averaging_the_weights_stay():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with weights.averaged(model, keras.optimizers.SGD(1.0)):
        assert weights.averages(keras.optimizers.SGD(1.0)) is None
