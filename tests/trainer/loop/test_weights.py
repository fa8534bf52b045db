import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.loop import weights


def made(strategy) -> list[keras.Variable]:
    with strategy.scope():
        return [keras.Variable(np.zeros((2, 3), np.float32)), keras.Variable(0, dtype="int64")]


def differing(strategy) -> list[keras.Variable]:
    """The first variable holds the replica's number plus a half on each replica."""
    found = made(strategy)
    for number, copy in enumerate(strategy.experimental_local_results(found[0].value)):
        copy.assign(tf.fill((2, 3), number + 0.5))
    found[1].assign(7)
    return found


def test_equal_values_are_one_array(two_replicas):
    arrays = weights.to_arrays("model", made(two_replicas), two_replicas)
    assert {name: value.shape for name, value in arrays.items()} == {"model/0": (2, 3), "model/1": ()}


def test_differing_values_are_kept_for_each_replica(two_replicas):
    arrays = weights.to_arrays("model", differing(two_replicas), two_replicas)
    assert set(arrays) == {"model/0/replicas", "model/1"}
    target = made(two_replicas)
    weights.from_arrays(arrays, "model", target, strategy=two_replicas)
    copies = two_replicas.experimental_local_results(target[0].value)
    assert [copy.numpy()[0, 0] for copy in copies] == [0.5, 1.5]
    assert target[1].numpy() == 7


def test_another_number_of_replicas_gets_the_mean(one_replica, two_replicas):
    arrays = weights.to_arrays("model", differing(two_replicas), two_replicas)
    target = made(one_replica)
    weights.from_arrays(arrays, "model", target, strategy=one_replica)
    assert (target[0].numpy() == 1.0).all()


def test_one_value_reaches_every_replica(one_replica, two_replicas):
    arrays = weights.to_arrays("model", differing(one_replica), one_replica)
    target = made(two_replicas)
    weights.from_arrays(arrays, "model", target, strategy=two_replicas)
    for copy in two_replicas.experimental_local_results(target[0].value):
        assert (copy.numpy() == 0.5).all()


def test_a_missing_variable_is_an_error(one_replica):
    with pytest.raises(KeyError):
        weights.from_arrays({}, "model", made(one_replica), strategy=one_replica)
