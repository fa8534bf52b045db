import pytest
import yaml
from click.testing import CliRunner

from digitmill import extras
from schemas.errors import UserError
from trainer.tune import tune


def test_the_study_of_vertex_is_printed_and_nothing_is_trained():
    done = CliRunner().invoke(tune, ["--recipe", "cnn", "--study-spec"])
    spec = yaml.safe_load(done.output)["studySpec"]
    assert spec["metrics"] == [{"metricId": "val_accuracy", "goal": "MAXIMIZE"}]
    assert {"learning-rate", "batch"} <= {parameter["parameterId"] for parameter in spec["parameters"]}


def test_a_folder_is_asked_for():
    done = CliRunner().invoke(tune, ["--recipe", "cnn"])
    assert done.exit_code == 2
    assert "--output" in done.output


def test_without_the_tuner_the_remedy_is_an_extra(monkeypatch, tmp_path):
    monkeypatch.setattr(extras, "is_installed", lambda module: module != "optuna")
    with pytest.raises(UserError, match=r"Run pip install 'digitmill\[tune\]'"):
        CliRunner().invoke(tune, ["--recipe", "cnn", "--output", str(tmp_path)], catch_exceptions=False)


def test_a_misspelt_recipe_is_refused_with_what_was_meant(tmp_path):
    with pytest.raises(UserError, match="Did you mean cnn"):
        CliRunner().invoke(tune, ["--recipe", "cmn", "--output", str(tmp_path)], catch_exceptions=False)
