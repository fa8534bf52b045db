import pathlib

import pytest

from schemas.errors import UserError
from trainer.options import TrainOptions


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", -1),
        ("batch", 0),
        ("replicas", 0),
        ("seed", -1),
        ("seed", 2**32),
        ("patience", 0),
        ("accumulate", 0),
        ("checkpoint_steps", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("inf")),
        ("clip_norm", float("nan")),
        ("ema", 1.0),
        ("label_smoothing", 1.0),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("soft_share", 1.1),
        ("teacher_temperature", 0.0),
        ("members", 0),
        ("strategy", "tpu"),
        ("schedule", "step"),
        ("precision", "float16"),
        ("accept_threshold", 1.01),
        ("accept_threshold", -0.01),
        ("accept_threshold", float("nan")),
        ("max_bad_rate", 1.01),
        ("max_bad_rate", -0.01),
        ("max_bad_rate", float("nan")),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_flag(name, value):
    with pytest.raises(UserError) as refusal:
        TrainOptions(recipe="cnn", data="sample", output=pathlib.Path("run"), **{name: value})
    assert f"--{name.replace('_', '-')} is" in refusal.value.rule
    assert repr(value) in str(refusal.value)


def test_the_limits_themselves_are_allowed():
    TrainOptions(
        recipe="cnn",
        data="sample",
        output=pathlib.Path("run"),
        epochs=1,
        batch=1,
        replicas=1,
        seed=2**32 - 1,
        accept_threshold=1.0,
    )
