import dataclasses

import keras
import pytest
import tensorflow as tf

from trainer import recipes
from trainer.loop import precision
from trainer.loop.training_loop import Trainer


@pytest.mark.parametrize(
    ("flags", "has"), [("fpu avx512f avx512_bf16", True), ("fpu amx_bf16", True), ("fpu avx512f", False)]
)
def test_a_processor_says_whether_it_has_bfloat16(flags, has, tmp_path, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: {flags}\nbugs :\n")
    assert precision.has_bfloat16(tmp_path / "cpuinfo") == has


def test_without_cpuinfo_there_is_no_bfloat16(tmp_path, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert not precision.has_bfloat16(tmp_path / "missing")


@pytest.mark.parametrize(
    ("capabilities", "has"), [([(8, 0)], True), ([(9, 0), (7, 5)], False), ([None], False)]
)
def test_every_gpu_must_have_bfloat16(capabilities, has, monkeypatch):
    details = [{} if found is None else {"compute_capability": found} for found in capabilities]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: details)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: gpu)
    assert precision.has_bfloat16() == has


@pytest.mark.parametrize(
    ("asked", "has", "policy"),
    [("float32", True, "float32"), ("mixed", False, "float32"), ("mixed", True, "mixed_bfloat16")],
)
def test_mixed_means_bfloat16_if_available(asked, has, policy, monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda: has)
    assert precision.dtype_policy(asked) == policy


def test_the_policy_is_restored():
    before = keras.config.dtype_policy().name
    with precision.under_policy("mixed_bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == before


@pytest.mark.slow
def test_a_mixed_network_computes_in_bfloat16_learns_and_is_exported_in_float32(
    few_digits, one_replica, monkeypatch
):
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)
    recipe = dataclasses.replace(recipes.load("cnn"), epochs=4, batch=40, precision="mixed")
    trainer = Trainer(recipe, few_digits, strategy=one_replica, seed=1)
    epochs = list(trainer.epochs())
    convolution = next(layer for layer in trainer.model.layers if isinstance(layer, keras.layers.Conv2D))
    assert (convolution.compute_dtype, convolution.variable_dtype) == ("bfloat16", "float32")
    assert epochs[-1].loss < epochs[0].loss * 0.7
    copy = trainer.copy_outside_strategy()
    assert {layer.compute_dtype for layer in copy.layers} <= {"float32", "uint8"}
    assert copy(few_digits.test.images, training=False).numpy() == pytest.approx(
        trainer.evaluate(few_digits.test).probabilities, abs=0.05
    )
