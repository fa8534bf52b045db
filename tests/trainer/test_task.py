import pathlib

import click.testing
import pytest

from schemas.errors import UserError
from tests.trainer.recording import recording
from trainer import recipes, task
from trainer.train_options import TrainOptions


def invoke(command, *arguments: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(command, arguments)


def test_flags_become_options(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("trainer.job.train_job.run", recording(asked))
    flags = {
        "--recipe": "cnn",
        "--data": "tfds:mnist",
        "--output": str(tmp_path),
        "--epochs": "2",
        "--batch": "64",
        "--seed": "7",
        "--replicas": "2",
        "--strategy": "mirrored",
        "--schedule": "one-cycle",
        "--learning-rate": "0.5",
        "--clip-norm": "1",
        "--ema": "0.99",
        "--label-smoothing": "0.1",
        "--precision": "mixed",
        "--patience": "3",
        "--accumulate": "4",
        "--checkpoint-steps": "100",
        "--data-dir": "gs://bucket/tfds",
        "--accept-threshold": "0.5",
        "--class-weights": "balanced",
        "--init": "run/bundle",
        "--max-bad-rate": "0.2",
        "--cache-dir": "cache",
    }
    switches = ("--resume", "--no-deterministic", "--xla")
    result = invoke(task.train, *(word for pair in flags.items() for word in pair), *switches)
    assert result.exit_code == 0, result.output
    assert asked == [
        TrainOptions(
            recipe="cnn",
            data="tfds:mnist",
            output=str(tmp_path),
            epochs=2,
            batch=64,
            seed=7,
            replicas=2,
            strategy="mirrored",
            schedule="one-cycle",
            learning_rate=0.5,
            clip_norm=1.0,
            ema=0.99,
            label_smoothing=0.1,
            precision="mixed",
            xla=True,
            patience=3,
            accumulate=4,
            deterministic=False,
            resume=True,
            checkpoint_steps=100,
            data_dir="gs://bucket/tfds",
            accept_threshold=0.5,
            class_weights="balanced",
            init="run/bundle",
            max_bad_rate=0.2,
            cache_dir=pathlib.Path("cache"),
        )
    ]


def test_several_sources_may_be_named(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("trainer.job.train_job.run", recording(asked))
    invoke(task.train, "--recipe", "cnn", "--output", str(tmp_path), "--data", "sample", "--data", "idx:x@2")
    assert asked[0].data == ("sample", "idx:x@2")


def test_defaults_are_those_of_the_options(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("trainer.job.train_job.run", recording(asked))
    invoke(task.train, "--recipe", "cnn", "--output", str(tmp_path))
    assert asked == [TrainOptions(recipe="cnn", data="sample", output=str(tmp_path))]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--recipe", "cnm"), "Did you mean cnn?"),
        (("--recipe", "cnn", "--data", "mnist"), "tfds:mnist"),
        (("--recipe", "cnn", "--data", "folder:/nowhere"), "not found: '/nowhere'"),
        (("--recipe", "cnn", "--strategy", "parameter_server"), "costs more than the step"),
    ],
)
def test_what_cannot_be_used_is_refused_before_tensorflow_is_loaded(run_python, tmp_path, arguments, said):
    code = (
        "import sys; from schemas.errors import UserError; from trainer.task import train\n"
        f"try: train.main({[*arguments, '--output', str(tmp_path / 'run')]!r}, standalone_mode=False)\n"
        "except UserError as error: print(error, 'tensorflow' in sys.modules)"
    )
    printed = run_python(code)
    assert said in printed
    assert printed.endswith("False\n")
    assert not (tmp_path / "run").exists()


def test_a_user_error_reaches_the_caller(tmp_path):
    result = invoke(task.train, "--recipe", "cnm", "--output", str(tmp_path))
    assert isinstance(result.exception, UserError)


def test_a_recipe_must_be_given():
    result = invoke(task.train, "--output", "run")
    assert result.exit_code == 2
    assert "Missing option '--recipe'" in result.output


def test_a_run_folder_must_be_given(monkeypatch):
    monkeypatch.delenv("AIP_MODEL_DIR", raising=False)
    result = invoke(task.train, "--recipe", "cnn")
    assert isinstance(result.exception, UserError)
    assert "Give --output, or set AIP_MODEL_DIR" in str(result.exception)


def test_recipes_are_listed_with_lines_that_a_terminal_holds():
    table, _, notes = invoke(task.recipes).output.partition("\n\n")
    header, *lines = table.splitlines()
    assert header.split() == ["recipe", "accuracy", "parameters", "time", "network"]
    assert [line.split()[0] for line in lines if line[0] != " "] == list(recipes.NAMES)
    assert max(map(len, lines)) <= 110
    # Wrapped text stays in its column.
    assert {line[: header.index("network")].strip() for line in lines if line[0] == " "} == {""}
    assert [note.partition(":")[0] for note in notes.splitlines()] == ["accuracy", "time"]


def test_help_and_list_load_nothing_heavy(run_python):
    heavy = "('tensorflow', 'keras', 'numpy', 'matplotlib', 'cv2', 'tensorflow_datasets')"
    code = (
        "import sys; from trainer import task\n"
        "for command in (task.train, task.recipes):\n"
        "    try: command.main(['--help'])\n"
        "    except SystemExit: pass\n"
        "task.recipes.main([], standalone_mode=False)\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert run_python(code).splitlines()[-1] == "[]"
