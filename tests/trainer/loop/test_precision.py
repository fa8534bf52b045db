import dataclasses

import keras
import pytest
import tensorflow as tf

from trainer import recipes
from trainer.loop import precision
from trainer.loop.training_loop import Trainer


@pytest.mark.parametrize(
    ("flags", "policy"),
    [
        ("fpu avx512f avx512_bf16 amx_bf16", "mixed_bfloat16"),
        ("fpu avx512f avx512_bf16", "float32"),
        ("fpu avx512f", "float32"),
    ],
)
def test_a_processor_computes_in_bfloat16_if_it_has_amx(flags, policy, tmp_path, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: {flags}\nbugs :\n")
    assert precision.mixed_policy(tmp_path / "cpuinfo") == policy


def test_without_cpuinfo_mixed_is_float32(tmp_path, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert precision.mixed_policy(tmp_path / "missing") == "float32"


@pytest.mark.parametrize(
    ("capabilities", "policy"),
    [
        ([(8, 0)], "mixed_bfloat16"),
        ([(9, 0), (7, 5)], "mixed_float16"),  # an H100 beside a T4
        ([(7, 0)], "mixed_float16"),  # V100
        ([(6, 0)], "float32"),
        ([None], "float32"),
    ],
)
def test_the_oldest_gpu_decides(capabilities, policy, monkeypatch):
    details = [{} if found is None else {"compute_capability": found} for found in capabilities]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: details)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: gpu)
    assert precision.mixed_policy() == policy


@pytest.mark.parametrize(("asked", "policy"), [("float32", "float32"), ("mixed", "mixed_float16")])
def test_only_mixed_follows_the_hardware(asked, policy, monkeypatch):
    monkeypatch.setattr(precision, "mixed_policy", lambda: "mixed_float16")
    assert precision.dtype_policy(asked) == policy


def test_the_policy_is_restored():
    before = keras.config.dtype_policy().name
    with precision.under_policy("mixed_bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == before


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_mixed_network_computes_in_16_bits_learns_and_is_exported_in_float32(
    dtype, few_digits, one_replica, monkeypatch
):
    monkeypatch.setattr(precision, "mixed_policy", lambda: f"mixed_{dtype}")
    recipe = dataclasses.replace(recipes.load("cnn"), epochs=4, batch=40, precision="mixed")
    trainer = Trainer(recipe, few_digits, strategy=one_replica, seed=1)
    epochs = list(trainer.epochs())
    convolution = next(layer for layer in trainer.model.layers if isinstance(layer, keras.layers.Conv2D))
    assert (convolution.compute_dtype, convolution.variable_dtype) == (dtype, "float32")
    assert epochs[-1].loss < epochs[0].loss * 0.7
    copy = trainer.copy_outside_strategy()
    assert {layer.compute_dtype for layer in copy.layers} <= {"float32", "uint8"}
    assert copy(few_digits.test.images, training=False).numpy() == pytest.approx(
        trainer.evaluate(few_digits.test).probabilities, abs=0.05
    )
