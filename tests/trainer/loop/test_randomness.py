import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.loop.training_layers import separate_replicas


def masks(strategy, *, calls: int, separated: bool = True) -> list[list[np.ndarray]]:
    """What dropout keeps on each replica, call after call."""
    keras.utils.set_random_seed(3)
    with strategy.scope():
        inner = keras.Sequential([keras.layers.Dropout(0.5)])
        model = keras.Sequential([keras.Input((200,)), inner])
        if separated:
            separate_replicas(model)
    ones = tf.ones((4, 200))
    run = tf.function(lambda: strategy.run(lambda: model(ones, training=True)))
    return [[part.numpy() for part in strategy.experimental_local_results(run())] for _ in range(calls)]


def test_replicas_drop_differently_in_every_step(two_replicas):
    found = [mask.tobytes() for call in masks(two_replicas, calls=5) for mask in call]
    assert len(set(found)) == 10


def test_replicas_are_independent(two_replicas):
    for first, second in masks(two_replicas, calls=5):
        # 800 fair coins against 800: four standard deviations are 0.14.
        assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.14


def test_the_dropout_rate_is_kept(two_replicas):
    kept = np.mean([mask > 0 for call in masks(two_replicas, calls=5) for mask in call])
    assert kept == pytest.approx(0.5, abs=0.03)


def test_the_first_replica_drops_as_keras_does(one_replica, two_replicas):
    alone = masks(one_replica, calls=3, separated=False)
    together = masks(two_replicas, calls=3)
    for (expected,), (first, _) in zip(alone, together, strict=True):
        assert (first == expected).all()


def test_a_saved_model_has_keras_own_generators(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5)])
    separate_replicas(model)
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert b"trainer" not in archive.read("config.json")
    assert keras.models.load_model(tmp_path / "model.keras").layers[0].rate == 0.5
