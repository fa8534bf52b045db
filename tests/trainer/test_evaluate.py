import json

from click.testing import CliRunner

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


def test_without_the_face_a_model_must_be_named():
    result = CliRunner().invoke(evaluate, ["--data", "sample"])
    assert result.exit_code == 2
    assert "Missing option '--model'" in result.stderr
