"""What a recipe may ask of the loop beside a network and an optimizer."""

import dataclasses
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from schemas.errors import UserError
from trainer import recipes
from trainer.data.splits import Digits, Split
from trainer.loop.training_loop import Trainer

REPLICAS = pytest.mark.parametrize("replicas", ["one_replica", "two_replicas"])
SGD = {"optimizer": lambda steps: keras.optimizers.SGD(0.1)}


def trained(digits, strategy, *, name="dense-128", seed=1, **changes) -> Trainer:
    recipe = dataclasses.replace(recipes.load(name), **{"epochs": 2, "batch": 40} | changes)
    trainer = Trainer(recipe, digits, strategy=strategy, seed=seed)
    list(trainer.epochs())
    return trainer


def curve(trainer: Trainer) -> list[float]:
    return [value for epoch in trainer.history for value in (epoch.loss, epoch.val_loss)]


def assert_close(one: Trainer, other: Trainer, *, tolerance: float = 1e-5) -> None:
    for ours, theirs in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
        assert ours == pytest.approx(theirs, abs=tolerance)
    assert curve(one) == pytest.approx(curve(other), rel=1e-3)


ALL_AT_ONCE = {"schedule": "warmup-cosine", "clip_norm": 1.0, "ema": 0.8, "accumulate": 2}
EACH_ALONE = (
    {"schedule": "one-cycle", "learning_rate": 0.3},
    {"clip_norm": 0.5},
    {"ema": 0.9},
    {"accumulate": 4},
    {"xla": True},
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [ALL_AT_ONCE, *(pytest.param(one, marks=pytest.mark.slow) for one in EACH_ALONE)], ids=str
)
def test_two_replicas_learn_as_one_does(changes, few_digits, one_replica, two_replicas):
    one, two = (trained(few_digits, strategy, **SGD, **changes) for strategy in (one_replica, two_replicas))
    assert_close(one, two)


@pytest.mark.parametrize(
    ("name", "replicas", "changes"),
    [
        ("dense-128", "one_replica", {"accumulate": 2}),
        pytest.param("dense-128", "two_replicas", {"accumulate": 10}, marks=pytest.mark.slow),
        pytest.param("dense-128", "one_replica", {"xla": True}, marks=pytest.mark.slow),
        pytest.param("cnn", "two_replicas", {"accumulate": 2}, marks=pytest.mark.slow),
        pytest.param("cnn", "two_replicas", {"xla": True}, marks=pytest.mark.slow),
    ],
)
def test_accumulation_and_xla_change_nothing(name, changes, replicas, few_digits, request):
    strategy = request.getfixturevalue(replicas)
    plain = trained(few_digits, strategy, name=name, **SGD, epochs=1)
    assert_close(plain, trained(few_digits, strategy, name=name, **SGD, epochs=1, **changes))


@pytest.mark.slow
def test_dropout_and_batch_norm_work_with_xla(few_digits, two_replicas):
    trainer = trained(few_digits, two_replicas, name="dense-512-256-128", xla=True, epochs=3)
    assert trainer.history[-1].loss < trainer.history[0].loss


def test_parts_that_do_not_divide_are_refused(few_digits, two_replicas):
    with pytest.raises(UserError, match="accumulate doesn't divide a replica's 20 images: 3"):
        trained(few_digits, two_replicas, accumulate=3)


@pytest.mark.slow
def test_clipping_slows_a_training_down(few_digits, one_replica):
    free, bound = (trained(few_digits, one_replica, **SGD, clip_norm=norm) for norm in (None, 1e-3))
    start = trained(few_digits, one_replica, **SGD | {"learning_rate": 1e-9}).model.get_weights()[0]
    moved = [np.abs(trainer.model.get_weights()[0] - start).max() for trainer in (free, bound)]
    assert moved[1] < 0.05 * moved[0]


@pytest.mark.slow
@REPLICAS
def test_the_averaged_weights_are_evaluated_kept_and_copied(replicas, few_digits, request):
    trainer = trained(few_digits, request.getfixturevalue(replicas), **SGD, ema=0.9, epochs=3)
    expected = trainer.evaluate(few_digits.validation)
    assert trainer.history[-1].val_loss == pytest.approx(expected.loss, rel=1e-6)
    averaged = [average.numpy() for average in trainer._optimizer._model_variables_moving_average]
    for kept, average in zip(trainer.model.trainable_variables, averaged, strict=True):
        assert (kept.numpy() == average).all()
    raw = trained(few_digits, request.getfixturevalue(replicas), **SGD, epochs=3)
    # The same steps, other weights to keep.
    assert [epoch.loss for epoch in raw.history] == [epoch.loss for epoch in trainer.history]
    assert raw.history[-1].val_loss != trainer.history[-1].val_loss


@pytest.mark.slow
@REPLICAS
def test_patience_ends_a_training_and_keeps_its_best_epoch(replicas, few_digits, request):
    strategy = request.getfixturevalue(replicas)
    recipe = {"name": "dense-512-256-128", "epochs": 40, "patience": 2}
    trainer = trained(few_digits, strategy, **recipe)
    history = trainer.history
    best = max(history, key=lambda epoch: (epoch.val_accuracy, -epoch.val_loss))
    assert len(history) == best.epoch + 2 < 40
    kept = trainer.evaluate(few_digits.validation)
    assert kept.accuracy.value == best.val_accuracy
    assert kept.loss == pytest.approx(best.val_loss, rel=1e-5)


def test_patience_without_held_out_images_is_refused(few_digits, one_replica):
    digits = dataclasses.replace(few_digits, validation=None)
    with pytest.raises(UserError, match="--patience needs held-out images"):
        trained(digits, one_replica, patience=1)


@pytest.mark.slow
def test_the_best_epoch_is_chosen_without_the_test_split(few_digits, one_replica):
    other = dataclasses.replace(few_digits, test=few_digits.test.take(np.arange(3)))
    first, second = (trained(digits, one_replica, epochs=5, patience=1) for digits in (few_digits, other))
    assert curve(first) == curve(second)


class WeightedSplit(Split):
    """A split with weights."""

    def weighted(self, weights: np.ndarray) -> "WeightedSplit":
        object.__setattr__(self, "weights", weights.astype(np.float32))
        return self


def weighted(digits: Digits, weights: np.ndarray) -> Digits:
    train = WeightedSplit(digits.train.images, digits.train.labels).weighted(weights)
    return dataclasses.replace(digits, train=train)


@pytest.mark.slow
@REPLICAS
def test_equal_weights_change_nothing(replicas, few_digits, request):
    strategy = request.getfixturevalue(replicas)
    same = weighted(few_digits, np.full(400, 3.0))
    assert_close(trained(few_digits, strategy, **SGD), trained(same, strategy, **SGD))


@pytest.mark.slow
@REPLICAS
def test_images_of_weight_zero_count_as_absent(replicas, few_digits, request):
    strategy = request.getfixturevalue(replicas)
    half = np.arange(400) % 2
    changes = {**SGD, "epochs": 1}
    present = trained(weighted(few_digits, half), strategy, **changes, batch=400)
    absent = trained(
        dataclasses.replace(few_digits, train=few_digits.train.take(half == 1)),
        strategy,
        **changes,
        batch=200,
    )
    assert_close(present, absent)


@pytest.mark.slow
def test_weights_are_shared_by_all_replicas(few_digits, one_replica, two_replicas):
    digits = weighted(few_digits, np.random.default_rng(1).random(400))
    one, two = (trained(digits, strategy, **SGD) for strategy in (one_replica, two_replicas))
    assert_close(one, two)


@pytest.mark.slow
def test_a_mapped_file_trains_like_memory(few_digits, one_replica, tmp_path):
    images = few_digits.train.images
    mapped = np.memmap(tmp_path / "images", np.uint8, "w+", shape=images.shape)
    mapped[:] = images
    digits = dataclasses.replace(few_digits, train=Split(mapped, few_digits.train.labels))
    assert_close(trained(few_digits, one_replica), trained(digits, one_replica), tolerance=0)


@pytest.fixture
def stand_in(monkeypatch) -> list:
    """An augmentation that overwrites each image's corner by random numbers of its seed."""

    def augment(images, *, seed, augmentation):
        assert augmentation == "wild"
        shape = (tf.shape(images)[0], 1, 1)
        corner = tf.random.stateless_uniform(shape, seed=seed, maxval=256, dtype=tf.int32)
        return tf.concat([tf.cast(corner + tf.zeros((1, 1, 28), tf.int32), tf.uint8), images[:, 1:]], axis=1)

    module = types.ModuleType("trainer.recipes.parts.augmentation")
    module.augment = augment
    monkeypatch.setitem(sys.modules, "trainer.recipes.parts.augmentation", module)


def seen(trainer: Trainer, strategy, steps: int) -> list[list[bytes]]:
    """What the replicas' images have in their first row, step after step."""
    batches = trainer._batches()
    found = []
    for _ in range(steps):
        images, _ = next(batches)
        found.append(
            [part.numpy()[0, :, 0].tobytes() for part in strategy.experimental_local_results(images)]
        )
    return found


def trainer_of(digits, strategy, **changes) -> Trainer:
    recipe = dataclasses.replace(
        recipes.load("dense-128"), epochs=3, batch=40, augmentation="wild", **changes
    )
    return Trainer(recipe, digits, strategy=strategy, seed=2**32 - 1)


@pytest.mark.slow
def test_augmentation_differs_by_step_epoch_and_replica(stand_in, few_digits, two_replicas):
    parts = [part for step in seen(trainer_of(few_digits, two_replicas), two_replicas, 30) for part in step]
    assert len(set(parts)) == 60


@pytest.mark.slow
@REPLICAS
def test_augmentation_is_the_same_after_a_resume(stand_in, replicas, few_digits, request):
    strategy = request.getfixturevalue(replicas)
    whole = seen(trainer_of(few_digits, strategy), strategy, 30)
    resumed = trainer_of(few_digits, strategy)
    resumed.state.step = 13
    assert seen(resumed, strategy, 17) == whole[13:]


def test_evaluation_is_not_augmented(stand_in, few_digits, one_replica):
    augmented = trainer_of(few_digits, one_replica)
    plain = trainer_of(few_digits, one_replica, accumulate=1)
    assert augmented.evaluate(few_digits.test).loss == plain.evaluate(few_digits.test).loss


@pytest.mark.slow
def test_four_replicas_learn_as_one_does(run_python):
    code = """
import dataclasses
from trainer.cluster.strategy import make_strategy
four, one = make_strategy(4), make_strategy(1)
import keras, numpy as np
from trainer import recipes
from trainer.data.sources.embedded_sample import digits
from trainer.loop.training_loop import Trainer
few = dataclasses.replace(digits(), train=digits().train.take(np.arange(0, 4000, 10)))
recipe = dataclasses.replace(recipes.load("dense-128"), epochs=2, batch=40, clip_norm=1.0,
                             optimizer=lambda steps: keras.optimizers.SGD(0.1))
curves = []
for strategy in (one, make_strategy(2), four):
    trainer = Trainer(recipe, few, strategy=strategy, seed=1)
    list(trainer.epochs())
    curves.append([value for epoch in trainer.history for value in (epoch.loss, epoch.val_loss)])
print("close", four.num_replicas_in_sync, np.allclose(curves, curves[0], rtol=1e-4))
"""
    assert run_python(code).splitlines()[-1] == "close 4 True"
