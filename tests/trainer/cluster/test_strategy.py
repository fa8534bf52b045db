import json
import os
import subprocess
import sys

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UserError
from tests.gcs_emulator import free_port
from trainer.cluster import strategy, tf_config
from trainer.cluster.strategy import make_strategy, per_replica_batch


@pytest.mark.parametrize("replicas", [1, 2])
def test_the_strategy_has_the_given_replicas(replicas):
    assert make_strategy(replicas).num_replicas_in_sync == replicas


def test_one_cpu_is_the_default_without_a_gpu():
    assert make_strategy(None).num_replicas_in_sync == 1


def test_replicas_cannot_grow_once_tensorflow_has_started():
    with pytest.raises(
        UserError, match=r"initialized with 2 replicas, fewer than --replicas: 3. Start a new process"
    ):
        make_strategy(3)


@pytest.mark.slow
def test_a_fresh_process_has_as_many_as_asked_for(run_python):
    code = "from trainer.cluster.strategy import make_strategy; print(make_strategy(4).num_replicas_in_sync)"
    assert run_python(code).splitlines()[-1] == "4"


# TensorFlow waits in native code that holds Python's lock: only a process of its own can be ended.
CONNECTING = """
from trainer.cluster import strategy
strategy.CONNECT_SECONDS = 1
strategy.make_strategy(None)
"""


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1])
def test_who_waits_for_a_worker_that_has_died_since_they_met_ends(index):
    workers = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    done = subprocess.run(
        [sys.executable, "-c", CONNECTING],
        env=os.environ | {tf_config.VARIABLE: tf_config.tf_config(workers, index)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "Timeout (0:00:01)!" in done.stderr


def test_more_replicas_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"] * 2)
    with pytest.raises(UserError, match="exceeds the number of GPUs, 2: 3"):
        make_strategy(3)


@pytest.mark.parametrize(("replicas", "devices"), [(None, ["/gpu:0", "/gpu:1"]), (1, ["/gpu:0"])])
def test_gpus_are_used_where_there_are_any(monkeypatch, replicas, devices):
    asked = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"] * 2)
    monkeypatch.setattr(
        strategy.tf.distribute, "MirroredStrategy", lambda *args, **more: asked.append((args, more))
    )
    make_strategy(replicas)
    make_strategy(replicas, all_reduce="nccl")
    (default, nccl) = asked
    assert default == ((devices,), {"cross_device_ops": None})
    assert nccl[0] == (devices,)
    assert isinstance(nccl[1]["cross_device_ops"], tf.distribute.NcclAllReduce)


@pytest.mark.parametrize(("kind", "replicas"), [("one", 1), ("mirrored", 2), ("auto", 2)])
def test_a_kind_can_be_given(kind, replicas):
    found = make_strategy(None if kind == "one" else replicas, kind=kind)
    assert found.num_replicas_in_sync == replicas
    assert (strategy.local_replicas(found), strategy.worker_index(found)) == (replicas, 0)
    assert not strategy.is_multi_worker(found)


def test_strategy_one_has_one_replica():
    with pytest.raises(UserError, match="--strategy one doesn't allow --replicas: 2"):
        make_strategy(2, kind="one")


def test_several_workers_need_a_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match="needs several workers in TF_CONFIG"):
        make_strategy(None, kind="multi_worker")


@pytest.mark.parametrize("kind", ["auto", "multi_worker"])
def test_several_workers_use_all_their_devices(kind, monkeypatch):
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    with pytest.raises(UserError, match="--replicas only works on one machine"):
        make_strategy(2, kind=kind)


@pytest.mark.parametrize(("batch", "replicas", "warned"), [(32, 1, False), (64, 2, False), (32, 2, True)])
def test_a_small_batch_per_replica_causes_a_warning(batch, replicas, warned):
    said = strategy.small_batch_warning(batch, replicas)
    assert (said is not None) == warned
    if said:
        assert "16 images on each of 2 replicas" in said
        assert "--batch 64 or more" in said


@pytest.mark.parametrize(
    ("dense", "several", "warned"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_dense_networks_on_several_workers_cause_a_warning(dense, several, warned, one_replica, monkeypatch):
    monkeypatch.setattr(strategy, "is_multi_worker", lambda _: several)
    said = strategy.slow_sharing_warning(one_replica, dense=dense)
    assert (said is not None and "fewer than one worker" in said) == warned


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
