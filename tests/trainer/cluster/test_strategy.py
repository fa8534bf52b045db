import json

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UserError
from trainer.cluster import strategy
from trainer.cluster.strategy import make_strategy, per_replica_batch


@pytest.mark.parametrize("replicas", [1, 2])
def test_the_strategy_has_the_given_replicas(replicas):
    assert make_strategy(replicas).num_replicas_in_sync == replicas


def test_one_cpu_is_the_default_without_a_gpu():
    assert make_strategy(None).num_replicas_in_sync == 1


def test_replicas_cannot_grow_once_tensorflow_has_started():
    with pytest.raises(UserError, match=r"started with 2: 3. Start a new process"):
        make_strategy(3)


@pytest.mark.slow
def test_a_fresh_process_has_as_many_as_asked_for(run_python):
    code = "from trainer.cluster.strategy import make_strategy; print(make_strategy(4).num_replicas_in_sync)"
    assert run_python(code).splitlines()[-1] == "4"


def test_more_replicas_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"] * 2)
    with pytest.raises(UserError, match="at most the number of GPUs, 2: 3"):
        make_strategy(3)


@pytest.mark.parametrize(("replicas", "devices"), [(None, ["/gpu:0", "/gpu:1"]), (1, ["/gpu:0"])])
def test_gpus_are_used_where_there_are_any(monkeypatch, replicas, devices):
    asked = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"] * 2)
    monkeypatch.setattr(strategy.tf.distribute, "MirroredStrategy", asked.append)
    make_strategy(replicas)
    assert asked == [devices]


@pytest.mark.parametrize(("kind", "replicas"), [("one", 1), ("mirrored", 2), ("auto", 2)])
def test_a_kind_can_be_given(kind, replicas):
    found = make_strategy(None if kind == "one" else replicas, kind=kind)
    assert found.num_replicas_in_sync == replicas
    assert (strategy.local_replicas(found), strategy.worker_index(found)) == (replicas, 0)
    assert not strategy.is_multi_worker(found)


def test_strategy_one_has_one_replica():
    with pytest.raises(UserError, match="--strategy one has one replica: 2"):
        make_strategy(2, kind="one")


def test_several_workers_need_a_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match="has several workers in TF_CONFIG"):
        make_strategy(None, kind="multi_worker")


@pytest.mark.parametrize("kind", ["auto", "multi_worker"])
def test_several_workers_use_all_their_devices(kind, monkeypatch):
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    with pytest.raises(UserError, match="--replicas is for one machine"):
        make_strategy(2, kind=kind)


@pytest.mark.parametrize(("batch", "replicas", "warned"), [(32, 1, False), (64, 2, False), (32, 2, True)])
def test_a_small_batch_per_replica_causes_a_warning(batch, replicas, warned):
    said = strategy.small_batch_warning(batch, replicas)
    assert (said is not None) == warned
    if said:
        assert "16 images on each of 2 replicas" in said
        assert "--batch 64 or more" in said


@given(st.integers(1, 10_000), st.integers(1, 64))
def test_a_batch_that_does_not_divide_is_refused_with_the_nearest(batch, replicas):
    try:
        assert per_replica_batch(batch, replicas) * replicas == batch
    except UserError as refusal:
        named = int(refusal.hint.split()[-1])
        assert named > 0
        assert named % replicas == 0
        others = (batch // replicas * replicas, -(-batch // replicas) * replicas)
        assert abs(named - batch) == min(abs(other - batch) for other in others if other)
    else:
        assert batch % replicas == 0
