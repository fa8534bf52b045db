import itertools
import pathlib
import shlex

import pytest
from click.testing import CliRunner

from schemas.errors import UserError
from tests.trainer.recording import recording
from trainer import task
from trainer.job import train_job
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
        assert f"--{name.replace('_', '-')}" in str(refusal.value)
        assert repr(value) in str(refusal.value)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"members": 2}, "--members"),
        ({"class_weights": "balanced"}, "--class-weights balanced"),
        ({"data": "sample"}, "packed shards: 'sample'"),
        ({"data": ("tfrecord:a", "tfrecord:b@2")}, "one source"),
    ],
)
def test_a_stream_has_one_source_of_packed_shards_and_trains_one_network(settings, named):
    given = {"recipe": "cnn", "data": "tfrecord:a", "output": pathlib.Path("run"), "stream": True}
    TrainOptions(**given)
    with pytest.raises(UserError, match="--stream") as refusal:
        TrainOptions(**{**given, **settings})
    assert named in str(refusal.value)


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


@pytest.mark.parametrize(
    ("settings", "command"),
    [
        ({}, "digitmill train --recipe cnn --data sample --output run"),
        (
            {"epochs": 3, "seed": 2},
            "digitmill train --recipe cnn --data sample --epochs 3 --seed 2 --output run",
        ),
        (
            {"data": ("sample", "labels:my file.csv@5"), "xla": False, "deterministic": False},
            "digitmill train --recipe cnn --data sample --data 'labels:my file.csv@5' --no-xla "
            "--no-deterministic --output run",
        ),
        (
            {"target_accuracy": 0.9998, "accept_threshold": 0.5},
            "digitmill train --recipe cnn --data sample --accept-threshold 0.5 --target-accuracy 0.9998 "
            "--output run",
        ),
    ],
)
def test_only_what_was_said_is_spelled(settings: dict, command: str) -> None:
    options = TrainOptions(
        **{"recipe": "cnn", "data": "sample", "output": "/somewhere", "resume": True} | settings
    )
    assert options.command(output="run") == command


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"data": ("sample", "labels:new.csv@5"), "epochs": 2, "batch": 10, "xla": True, "replicas": 1},
        {"ema": 0.99, "schedule": "one-cycle", "class_weights": "balanced", "init": "a b/bundle", "seed": 9},
        {"target_accuracy": 0.5, "deterministic": False, "label_smoothing": 0.1, "max_bad_rate": 0.5},
    ],
)
def test_the_command_and_the_file_give_the_options_back(
    settings: dict, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    options = TrainOptions(**{"recipe": "cnn", "data": "sample", "output": "run"} | settings)
    got = []
    monkeypatch.setattr(train_job, "run", recording(got))
    _, verb, *arguments = shlex.split(options.command(output="run"))
    assert verb == "train"
    result = CliRunner().invoke(task.train, arguments, catch_exceptions=False)
    assert (result.exit_code, got) == (0, [options])
    (tmp_path / "run.yaml").write_text(options.run_config(), encoding="utf-8")
    flags = ["--config", str(tmp_path / "run.yaml"), "--output", "run"]
    CliRunner().invoke(task.train, flags, catch_exceptions=False)
    assert got[1:] == [options]


def test_the_command_that_resumes_names_the_output() -> None:
    options = TrainOptions(recipe="cnn", data="sample", output="a b", epochs=2)
    goes_on = "digitmill train --recipe cnn --data sample --output 'a b' --epochs 2 --resume"
    assert options.command(resume=True) == goes_on
