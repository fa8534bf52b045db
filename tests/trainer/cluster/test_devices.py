import json
import types

import pytest
import tensorflow as tf

from schemas.errors import UserError
from trainer.cluster import devices
from trainer.cluster.devices import check_devices, describe


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Without a new process that loads TensorFlow to hear what it logs, and without GPUs."""
    monkeypatch.setattr(devices.subprocess, "run", lambda *args, **more: types.SimpleNamespace(stderr=""))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("TF_CONFIG", raising=False)


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu 0", "gpu 1"])
    details = {"gpu 0": {"device_name": "NVIDIA H100"}, "gpu 1": {"device_name": "NVIDIA H100"}}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details.get)


def strategy_of(*names: str) -> types.SimpleNamespace:
    return types.SimpleNamespace(extended=types.SimpleNamespace(worker_devices=names))


def test_gpus_are_named_with_their_number(two_gpus, monkeypatch):
    two = strategy_of("/job:localhost/replica:0/task:0/device:GPU:0", "/device:GPU:1")
    assert describe(two) == "2 × NVIDIA H100"
    assert describe(strategy_of("/gpu:0")) == "1 × NVIDIA H100"
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    assert describe(two) == "worker 1 of 2: 2 × NVIDIA H100"


def test_logical_cpus_are_not_taken_for_gpus(two_replicas, one_replica, monkeypatch):
    monkeypatch.setattr(devices, "missing_gpu_reason", lambda: "no NVIDIA driver")
    monkeypatch.setattr(devices, "cpu_count", lambda: 6)
    assert describe(two_replicas) == "CPU, 2 logical devices: no GPU visible (no NVIDIA driver)"
    assert describe(one_replica) == "CPU, 6 cores: no GPU visible (no NVIDIA driver)"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug", "driver 535.104.05"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release", "driver 550.54.15"),
        ("something else", "driver of unknown version"),
        (None, "no NVIDIA driver"),
    ],
)
def test_the_driver_is_named_where_no_gpu_is_visible(text, reason, tmp_path):
    if text is not None:
        (tmp_path / "version").write_text(text)
    assert devices.missing_gpu_reason(tmp_path / "version") == reason


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_gpus_are_called_hidden(hidden, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert devices.missing_gpu_reason() == "hidden by CUDA_VISIBLE_DEVICES"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"replicas": 8}, "no GPU is visible for --replicas 8"),
        ({"replicas": 8, "kind": "mirrored"}, "no GPU is visible for --replicas 8"),
        ({"replicas": None, "kind": "mirrored"}, "no GPU is visible for --strategy mirrored"),
        ({"replicas": None, "require_gpus": 1}, "--require-gpus 1, but this machine has 0"),
        ({"replicas": None, "require_gpus": 1, "allow_cpu": True}, "--require-gpus 1, but"),
    ],
)
def test_cpus_do_not_silently_stand_in_for_gpus(asked, words):
    with pytest.raises(UserError, match=words):
        check_devices(**asked)


def test_what_needs_no_gpu_or_allows_cpus_is_not_refused():
    check_devices(None)
    check_devices(1, kind="one")
    check_devices(8, kind="mirrored", allow_cpu=True)


def test_gpus_that_are_there_suffice(two_gpus):
    check_devices(2, kind="mirrored", require_gpus=2)
    with pytest.raises(UserError, match="--require-gpus 3, but this machine has 2: 'this machine'"):
        check_devices(None, require_gpus=3)


def test_a_refusal_shows_what_tensorflow_says(monkeypatch, capsys):
    logged = (
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
        "I0000 00:00:1795997414.8 22612 cudart_stub.cc:31] Could not find cuda drivers on your machine\n"
        "I0000 00:00:1795997416.0 22612 cpu_feature_guard.cc:227] This binary is optimized\n"
        "I0000 00:00:1795997421.8 22612 cudart_stub.cc:31] Could not find cuda drivers on your machine\n"
    )
    monkeypatch.setattr(devices.subprocess, "run", lambda *args, **more: types.SimpleNamespace(stderr=logged))
    with pytest.raises(UserError):
        check_devices(None, require_gpus=1)
    assert capsys.readouterr().err == "TensorFlow: Could not find cuda drivers on your machine\n"
