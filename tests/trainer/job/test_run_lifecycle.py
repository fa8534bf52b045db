"""One run folder, from its beginning to its end: held, interrupted, resumed, finished."""

import errno
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import yaml

from digitmill.storage import open_folder
from schemas.errors import ExitCode, StoppedError, UserError
from trainer.bundle import export
from trainer.job import train_job
from trainer.run import run_location
from trainer.train_options import TrainOptions

ROOT = pathlib.Path(__file__).parents[3]


def options(output: pathlib.Path, **more) -> TrainOptions:
    settings = {"recipe": "dense-128", "data": "sample", "epochs": 1, "replicas": 1} | more
    return TrainOptions(output=output, **settings)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> pathlib.Path:
    output = tmp_path_factory.mktemp("runs") / "run"
    train_job.run(options(output))
    return output


def contents(folder: pathlib.Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_finished_run_is_left_as_it_is(finished, capsys):
    before = contents(finished)
    result = train_job.run(options(finished, resume=True))
    assert f"the run is finished already: {finished / 'bundle'}" in capsys.readouterr().out
    assert (len(result.history), result.card.epochs, result.is_complete) == (1, 1, True)
    assert contents(finished) == before


@pytest.mark.slow
def test_a_finished_run_of_other_options_is_refused(finished):
    with pytest.raises(UserError, match="the run is finished, and its --epochs was 1, now it is: 2"):
        train_job.run(options(finished, resume=True, epochs=2))
    # How often it saves changes nothing about the result.
    assert train_job.run(options(finished, resume=True, checkpoint_steps=7)).card.epochs == 1


@pytest.mark.slow
def test_without_resume_a_finished_run_is_refused(finished):
    with pytest.raises(UserError, match="--output holds a finished run"):
        train_job.run(options(finished))


@pytest.mark.slow
def test_the_command_answers_with_the_finished_runs_card(finished):
    arguments = ["--recipe", "dense-128", "--epochs", "1", "--replicas", "1", "--resume", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "trainer.task", *arguments, "--output", str(finished)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"epochs": 1' in done.stdout


def test_a_corrected_attempt_replaces_the_flags_of_the_one_that_failed(tmp_path):
    output = tmp_path / "run"
    for batch in (5_000, 6_000):
        with pytest.raises(UserError, match="the batch is larger than the training split"):
            train_job.run(options(output, batch=batch))
    assert yaml.safe_load((output / "run.yaml").read_text())["train"]["batch"] == 6_000


def test_two_runs_do_not_write_to_one_folder(tmp_path):
    output = tmp_path / "run"
    with open_folder(str(output)).hold():
        with pytest.raises(UserError, match="another launcher is writing to this output"):
            train_job.run(options(output))
        assert [path.name for path in output.iterdir()] == [".launcher.lock"]
    assert not output.exists()


@pytest.mark.slow
def test_nothing_but_the_run_is_left_in_its_folder(finished):
    hidden = [path.name for path in finished.rglob("*") if path.name.startswith(".")]
    assert hidden == []


@pytest.mark.slow
def test_after_a_failed_export_resume_repeats_the_export_alone(tmp_path, monkeypatch, capsys):
    output = tmp_path / "run"

    def fail(*_: object, **__: object) -> None:
        raise export.ExportError("model.tflite", difference=0.5, allowed=0.001)

    with monkeypatch.context() as patched:
        patched.setattr(export, "write_bundle", fail)
        with pytest.raises(export.ExportError, match="the export alone is repeated") as failed:
            train_job.run(options(output))
    assert failed.value.code == ExitCode.USAGE
    (output / "history.csv").unlink()  # as after a kill between checkpoint and history
    capsys.readouterr()
    result = train_job.run(options(output, resume=True))
    assert "epoch 1/1" not in capsys.readouterr().out
    assert result.card.epochs == 1
    assert (output / "history.csv").read_text().count("\n") == 2


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_in_words(*_: object, **__: object) -> None:
    raise RuntimeError("Unable to synchronously create dataset (errno = 28: No space left on device)")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "name", "fail"),
    [(np, "savez", full), (export, "digests", full), (export.formats, "write", full_in_words)],
)
def test_a_full_disk_is_one_line_and_the_run_resumes(tmp_path, monkeypatch, module, name, fail):
    output = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(module, name, fail)
        with pytest.raises(
            StoppedError, match=r"^the disk is full: '.*/run'\. Make room\. Resume"
        ) as stopped:
            train_job.run(options(output))
    assert stopped.value.code == ExitCode.CRASHED
    assert not list(output.glob("*bundle*"))
    assert train_job.run(options(output, resume=True)).card.epochs == 1


@pytest.mark.slow
def test_files_have_the_mode_that_the_umask_allows(tmp_path):
    before = os.umask(0o007)
    try:
        train_job.run(options(tmp_path / "run"))
    finally:
        os.umask(before)
    found = list((tmp_path / "run").rglob("*"))
    assert {path.stat().st_mode & 0o777 for path in found if path.is_file()} == {0o660}
    assert {path.stat().st_mode & 0o777 for path in found if path.is_dir()} == {0o770}


def test_a_place_knows_of_no_hold_by_itself(tmp_path):
    run_location.of_run(tmp_path, {}).confirm()
