import dataclasses
import hashlib
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from schemas.errors import UserError
from schemas.model import bundle
from trainer import recipes
from trainer.bundle.initial_weights import load_teacher
from trainer.job.ensemble import average_networks
from trainer.loop import distillation
from trainer.loop.training_loop import Trainer
from trainer.recipes.parts import overrides
from trainer.recipes.parts.recipe import Teacher
from trainer.train_options import TrainOptions

STUDENT = recipes.load("distilled")


def fixed_teacher() -> keras.Model:
    """A network that predicts the same for every image: 60 % a 2, 40 % a 5."""
    probabilities = np.array([0.0, 0.0, 0.6, 0.0, 0.0, 0.4, 0.0, 0.0, 0.0, 0.0], np.float32)
    digits = keras.Input((28, 28), dtype="uint8")
    flat = keras.layers.Rescaling(0.0)(keras.layers.Flatten()(digits))
    layer = keras.layers.Dense(10, activation="softmax")
    network = keras.Model(digits, layer(flat))
    layer.set_weights([np.zeros((784, 10), np.float32), np.log(np.maximum(probabilities, 1e-9))])
    network.trainable = False
    return network


logits = arrays.arrays(np.float32, (3, 10), elements=st.floats(-5, 5, width=32))


@settings(max_examples=50, deadline=None)
@given(logits, st.floats(0.2, 8))
def test_softening_divides_the_logits(values, temperature):
    probabilities = tf.nn.softmax(values)
    expected = tf.nn.softmax(values / np.float32(temperature)).numpy()
    assert distillation.soften(probabilities, temperature).numpy() == pytest.approx(expected, abs=1e-3)


@settings(max_examples=50, deadline=None)
@given(logits, logits, st.floats(0, 1), st.floats(0.5, 4))
def test_the_loss_is_the_weighted_sum_of_both(student, teacher, share, temperature):
    recipe = dataclasses.replace(STUDENT, soft_share=share, teacher_temperature=temperature)
    q, p = (tf.nn.softmax(values / np.float32(temperature)).numpy() for values in (student, teacher))
    soft = -(p * np.log(q)).sum(axis=1)
    hard = np.arange(3, dtype=np.float32)
    found = distillation.mix_losses(
        tf.constant(hard), tf.nn.softmax(student), teacher=tf.nn.softmax(teacher), recipe=recipe
    )
    weights = share * temperature**2, 1 - share
    expected = (weights[0] * soft + weights[1] * hard) / sum(weights)
    assert found.numpy() == pytest.approx(expected, rel=1e-2, abs=1e-3)


@pytest.mark.slow
def test_the_loss_is_least_where_student_and_teacher_agree():
    teacher = tf.constant([[0.5, 0.3, 0.2] + [0.0] * 7])
    variable = tf.Variable(tf.zeros((1, 10)))
    recipe = dataclasses.replace(STUDENT, soft_share=1.0, teacher_temperature=2.0)
    for _ in range(1_000):
        with tf.GradientTape() as tape:
            loss = distillation.mix_losses(
                tf.zeros(1), tf.nn.softmax(variable), teacher=teacher, recipe=recipe
            )
        variable.assign_sub(2.0 * tape.gradient(loss, variable))
    assert tf.nn.softmax(variable).numpy()[0, :3] == pytest.approx([0.5, 0.3, 0.2], abs=0.01)


def student(digits, strategy, **changes) -> Trainer:
    settings = {"epochs": 6, "batch": 40, "soft_share": 1.0}
    recipe = dataclasses.replace(recipes.load("dense-128"), **settings | changes)
    trainer = Trainer(recipe, digits, strategy=strategy, seed=1, teacher=fixed_teacher())
    list(trainer.epochs())
    return trainer


@pytest.mark.slow
@pytest.mark.parametrize("replicas", ["one_replica", "two_replicas"])
@pytest.mark.parametrize("changes", [{}, {"accumulate": 2}, {"xla": True}], ids=str)
def test_a_student_learns_the_teachers_predictions_and_not_the_labels(changes, replicas, few_digits, request):
    trainer = student(few_digits, request.getfixturevalue(replicas), **changes)
    predicted = trainer.evaluate(few_digits.test).probabilities.mean(axis=0)
    assert predicted[2] == pytest.approx(0.6, abs=0.1)
    assert predicted[5] == pytest.approx(0.4, abs=0.1)


@pytest.mark.slow
def test_the_labels_have_the_rest_of_the_loss(few_digits, one_replica):
    by_teacher, by_labels = (student(few_digits, one_replica, soft_share=share) for share in (1.0, 0.0))
    assert by_labels.history[-1].val_accuracy > by_teacher.history[-1].val_accuracy + 0.3


@pytest.mark.slow
def test_the_teacher_is_no_part_of_the_student(few_digits, one_replica):
    assert student(few_digits, one_replica, epochs=1).model.count_params() == 101_770


@pytest.mark.parametrize(("policy", "tolerance"), [("float32", 1e-5), ("mixed_bfloat16", 0.02)])
@pytest.mark.parametrize(
    ("names", "count"),
    [pytest.param(("small-cnn", "dense-512-256-128"), 7, marks=pytest.mark.slow), (("small-cnn",), 1)],
)
def test_a_frozen_network_predicts_the_same(names, count, policy, tolerance, few_digits):
    networks = [recipes.load(name).model() for name in names]
    network = average_networks(networks) if len(networks) > 1 else networks[0]
    for weight in network.non_trainable_weights:
        # Moving averages as after a training.
        if "moving" in weight.path:
            low, high = (-0.1, 0.1) if "mean" in weight.path else (0.05, 0.2)
            weight.assign(np.random.default_rng(1).uniform(low, high, weight.shape))
    images = few_digits.test.images[:count]
    expected = network(images, training=False).numpy()
    frozen = distillation.freeze(network, dtype_policy=policy)
    found = tf.function(frozen)(images).numpy()
    assert found == pytest.approx(expected, abs=tolerance)
    assert found.dtype == np.float32
    assert np.ptp(expected, axis=1).min() > 0.01


@pytest.fixture
def teacher_bundle(tmp_path):
    (tmp_path / bundle.CARD).write_text("{}")
    return tmp_path


def test_a_teacher_is_known_by_the_digest_of_its_card(teacher_bundle):
    found = Teacher.find(str(teacher_bundle))
    assert found == Teacher(str(teacher_bundle), hashlib.sha256(b"{}").hexdigest())
    options = TrainOptions(recipe="distilled", data="x", output="y", teacher=str(teacher_bundle))
    recipe = overrides.apply(STUDENT, options)
    assert overrides.recorded(options, recipe) == {"teacher": found.digest}
    assert json.loads(json.dumps(overrides.settings(recipe)))["teacher"] == found.digest


def test_a_teacher_that_is_no_bundle_is_refused(teacher_bundle):
    with pytest.raises(UserError):
        Teacher.find(str(teacher_bundle / "nothing"))
    with pytest.raises(UserError, match="the model bundle is damaged"):
        load_teacher(Teacher.find(str(teacher_bundle)))


def test_the_recipe_needs_a_teacher():
    options = TrainOptions(recipe="distilled", data="x", output="y")
    with pytest.raises(UserError, match=r"the recipe distilled needs a teacher: .*Give --teacher BUNDLE"):
        overrides.apply(STUDENT, options)


def test_any_recipe_can_have_a_teacher(teacher_bundle):
    options = TrainOptions(
        recipe="cnn",
        data="x",
        output="y",
        teacher=str(teacher_bundle),
        soft_share=0.5,
        teacher_temperature=3.0,
    )
    recipe = overrides.apply(recipes.load("cnn"), options)
    assert (recipe.soft_share, recipe.teacher_temperature) == (0.5, 3.0)
    assert recipe.teacher.place == str(teacher_bundle)
