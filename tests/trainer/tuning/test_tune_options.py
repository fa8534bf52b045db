import pathlib
import shlex

import pytest
from click.testing import CliRunner

from trainer.tune import tune
from trainer.tuning import tune_job
from trainer.tuning.tune_options import TuneOptions


def asked(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> TuneOptions:
    """What a command line asks for; nothing is trained."""
    told: list[TuneOptions] = []
    monkeypatch.setattr(tune_job, "run", lambda options: told.append(options) or "")
    CliRunner().invoke(tune, arguments, catch_exceptions=False)
    return told[0]


@pytest.fixture
def options(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> TuneOptions:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my file.csv").write_text("path,label\n")
    output = pathlib.Path("a study")
    data = ("sample", "labels:my file.csv@5")
    return TuneOptions(recipe="cnn", data=data, output=output, epochs=3, seed=7, trials=9, resume=True)


def test_the_command_resumes_the_search(options: TuneOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    program, verb, *arguments = shlex.split(options.command())
    assert (program, verb) == ("digitmill", "tune")
    assert asked(arguments, monkeypatch) == options


def test_the_file_repeats_the_search(
    options: TuneOptions, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.yaml").write_text(options.run_config(), encoding="utf-8")
    arguments = ["--config", str(tmp_path / "run.yaml"), "--output", "a study", "--resume"]
    assert asked(arguments, monkeypatch) == options
