import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer import recipes
from trainer.loop import training_layers
from trainer.loop.training_loop import Trainer


def network(**options) -> keras.Model:
    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [
            keras.Input((6, 4, 1)),
            keras.layers.Conv2D(3, 3),
            keras.layers.BatchNormalization(momentum=0.7, **options),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
            keras.layers.BatchNormalization(),
        ]
    )


def images(count: int = 9) -> np.ndarray:
    return np.random.default_rng(1).normal(3, 2, (count, 6, 4, 1)).astype(np.float32)


def answers_and_gradients(model: keras.Model) -> list[np.ndarray]:
    @tf.function
    def run() -> tuple:
        with tf.GradientTape() as tape:
            answers = model(images(), training=True)
            loss = tf.reduce_sum(answers * tf.constant([[1.0, -2.0]]) ** 2)
        return answers, tape.gradient(loss, model.trainable_variables)

    return [value.numpy() for value in tf.nest.flatten(run())] + model.get_weights()


@pytest.mark.parametrize("options", [{}, {"epsilon": 0.1}, {"center": False}, {"scale": False}], ids=str)
def test_the_fused_layer_equals_keras(options):
    plain, fused = network(**options), training_layers.for_training(network(**options))
    for one, other in zip(answers_and_gradients(plain), answers_and_gradients(fused), strict=True):
        assert one == pytest.approx(other, abs=2e-4)


def test_only_batches_of_images_are_fused(monkeypatch):
    fused, seen = training_layers.for_training(network()), []
    original = tf.compat.v1.nn.fused_batch_norm
    monkeypatch.setattr(
        tf.compat.v1.nn, "fused_batch_norm", lambda x, *a, **k: seen.append(x.shape) or original(x, *a, **k)
    )
    fused(images(), training=True)
    assert seen == [(9, 4, 2, 3)]
    fused(images(), training=False)
    fused.trainable = False
    fused(images(), training=True)
    assert len(seen) == 1


def test_inference_is_keras_own():
    plain, fused = network(), training_layers.for_training(network())
    assert (plain(images(), training=False).numpy() == fused(images(), training=False).numpy()).all()


def test_synchronized_replicas_normalize_as_one_with_all_their_images(two_replicas):
    whole = images(8)
    alone = network()
    expected = alone(whole, training=True).numpy()
    with two_replicas.scope():
        shared = training_layers.for_training(network(), sync_batch_norm=True)
        plain = training_layers.for_training(network())

    def half(model: keras.Model) -> tf.Tensor:
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        return model(tf.reshape(whole, (2, 4, *whole.shape[1:]))[number], training=True)

    def answers(model: keras.Model) -> np.ndarray:
        model.set_weights(network().get_weights())
        run = tf.function(lambda: two_replicas.run(half, args=(model,)))
        return np.concatenate([part.numpy() for part in two_replicas.experimental_local_results(run())])

    assert answers(shared) == pytest.approx(expected, abs=1e-5)
    assert answers(plain) != pytest.approx(expected, abs=1e-3)
    assert shared.get_weights()[-1] == pytest.approx(alone.get_weights()[-1], abs=1e-5)


def test_other_axes_are_not_fused():
    model = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.BatchNormalization(axis=1)])
    assert type(training_layers.for_training(model).layers[0]) is keras.layers.BatchNormalization


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed"])
@pytest.mark.parametrize("name", ["dense-512-256-128", "strong-cnn"])
def test_a_trainings_convolutions_are_fused_and_its_dense_layers_as_ever(
    name, precision, few_digits, one_replica, monkeypatch
):
    recipe = dataclasses.replace(recipes.load(name), batch=40, precision=precision)
    trainer = Trainer(recipe, few_digits, strategy=one_replica, seed=1)
    original, count = tf.compat.v1.nn.fused_batch_norm, []
    monkeypatch.setattr(
        tf.compat.v1.nn, "fused_batch_norm", lambda *a, **k: count.append(1) or original(*a, **k)
    )
    trainer.model(few_digits.train.images[:40], training=True)
    assert len(count) == (5 if name == "strong-cnn" else 0)
    moving = [weight for weight in trainer.model.non_trainable_weights if "moving_mean" in weight.path]
    assert all(np.abs(weight.numpy()).max() > 0 for weight in moving)
    # What is exported is Keras's own.
    copied = trainer.copy_outside_strategy().layers
    assert all(type(layer) is not training_layers.BatchNormalization for layer in copied)
    assert sum(type(layer) is keras.layers.BatchNormalization for layer in copied) > 0
