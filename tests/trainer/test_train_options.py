import itertools
import pathlib

import pytest

from schemas.errors import UserError
from trainer.train_options import TrainOptions


@pytest.mark.parametrize(
    ("names", "values"),
    [
        (("epochs", "batch", "replicas", "patience", "accumulate", "checkpoint_steps", "members"), (0, -1)),
        (("learning_rate", "clip_norm", "teacher_temperature"), (0.0, float("inf"), float("nan"))),
        (("ema",), (0.0, 1.0)),
        (("label_smoothing", "dropout"), (-0.1, 1.0)),
        (
            ("soft_share", "accept_threshold", "max_bad_rate", "target_accuracy"),
            (-0.01, 1.01, float("nan")),
        ),
        (("seed",), (-1, 2**32)),
        (("strategy", "schedule", "precision"), ("tpu",)),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_flag(names, values):
    for name, value in itertools.product(names, values):
        with pytest.raises(UserError) as refusal:
            TrainOptions(recipe="cnn", data="sample", output=pathlib.Path("run"), **{name: value})
        assert f"--{name.replace('_', '-')} is" in refusal.value.problem
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
