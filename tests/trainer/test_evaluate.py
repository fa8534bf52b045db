import json

from click.testing import CliRunner

from digitmill.default_model import SHIPPED_MODEL
from trainer.evaluate import evaluate


def test_json_alone_is_on_standard_output(bundle_path):
    arguments = ["--model", str(bundle_path), "--data", "sample", "--json"]
    result = CliRunner().invoke(evaluate, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["accuracy"]["images"] == 500


def test_people_get_a_table(bundle_path):
    result = CliRunner().invoke(evaluate, ["--model", str(bundle_path), "--data", "sample"])
    assert result.stdout.splitlines()[0].startswith("model        ")
    assert "confusion    rows true, columns predicted" in result.stdout


def test_without_a_model_it_measures_the_one_that_comes_with_digitmill():
    result = CliRunner().invoke(evaluate, ["--data", "sample", "--json"], catch_exceptions=False)
    assert json.loads(result.stdout)["model"] == str(SHIPPED_MODEL)
