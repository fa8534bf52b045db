"""The build file against the service's definition, and its steps with stand-ins for what they call."""

import pathlib
import re

import pytest
from google.protobuf import json_format

from tests.deploy.cloud_build import BUILT_IN, CONFIG, ROOT, run, step, used

ALL = {"_PARTS": "test images score train"}


@pytest.fixture
def tools(tmp_path: pathlib.Path) -> dict[str, str]:
    """Programs that write down their arguments, as an environment; CODE_VERB is a verb's exit code."""
    for name in ("docker", "gcloud", "make", "digitmill"):
        (tmp_path / name).write_text(
            f'#!/bin/sh\necho {name} "$@" >> "$CALLS"\nverb=$(echo "$1" | tr - _)\n'
            'eval "exit \\${CODE_$verb:-0}" 2> /dev/null\n'
        )
        (tmp_path / name).chmod(0o755)
    return {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "CALLS": str(tmp_path / "calls"),
        "DIGITMILL": "digitmill",
        "BUILDER_OUTPUT": str(tmp_path),
    }


def calls(tools: dict[str, str]) -> list[str]:
    file = pathlib.Path(tools["CALLS"])
    return file.read_text().splitlines() if file.exists() else []


def test_the_file_is_of_the_service_s_definition() -> None:
    from google.cloud.devtools.cloudbuild_v1 import Build

    # Strict: a field that the service does not know is an error.
    build = json_format.ParseDict(CONFIG, Build.pb(Build()))
    assert [one.id for one in build.steps] == ["test", "images", "template", "score", "train"]


def test_the_validation_would_see_a_misspelt_field() -> None:
    from google.cloud.devtools.cloudbuild_v1 import Build

    with pytest.raises(json_format.ParseError, match="entrypiont"):
        json_format.ParseDict({"steps": [{"entrypiont": "bash"}]}, Build.pb(Build()))


def test_every_substitution_is_declared_and_used() -> None:
    declared = set(CONFIG["substitutions"])
    assert used(CONFIG) - set(BUILT_IN) == declared
    assert all(re.fullmatch(r"_[A-Z0-9_]+", name) for name in declared)
    assert all(isinstance(value, str) for value in CONFIG["substitutions"].values())


@pytest.mark.parametrize("name", [one["id"] for one in CONFIG["steps"]])
def test_a_step_runs_a_script_of_the_project_for_a_part(name: str) -> None:
    part, wanted, script = step(name)["args"]
    assert part == ".ci/part"
    assert wanted in ALL["_PARTS"].split()
    assert (ROOT / script).is_file()


@pytest.mark.parametrize("name", [one["id"] for one in CONFIG["steps"]])
def test_a_part_that_is_not_asked_for_does_nothing(name: str, tools: dict[str, str]) -> None:
    code, printed = run(name, {"_PARTS": "other tests"}, **tools)
    assert (code, calls(tools)) == (0, [])
    assert "not among the parts" in printed


def test_a_push_runs_the_tests_alone(tools: dict[str, str]) -> None:
    for one in CONFIG["steps"]:
        code, printed = run(one["id"], {}, **tools)
        assert code == 0, printed
    made = [call.removeprefix("make ") for call in calls(tools)]
    assert [target for target in made if target != "shared-test"] == ["test", "slow-test"]


def test_images_are_built_and_pushed_and_the_template_made_of_them(tools: dict[str, str]) -> None:
    for name in ("images", "template"):
        code, printed = run(name, ALL, **tools)
        assert code == 0, printed
    repository = "europe-west4-docker.pkg.dev/p/digitmill"
    built = [line for line in calls(tools) if line.startswith("docker build")]
    for line in built:
        (file,) = re.findall(r"--file (\S+)", line)
        assert (ROOT / file).is_file()
    assert [re.findall(r"--tag (\S+)", line)[0] for line in built] == [
        f"{repository}/{image}:b-1" for image in ("worker", "launcher", "trainer")
    ]
    assert f"--build-arg WORKER={repository}/worker:b-1" in built[1]
    pushed = [line.rpartition(" ")[2] for line in calls(tools) if line.startswith("docker push")]
    assert pushed == [f"{repository}/{image}:b-1" for image in ("worker", "launcher", "trainer")]
    assert calls(tools)[-1] == (
        "gcloud dataflow flex-template build gs://p-digitmill/templates/score.json "
        f"--image {repository}/launcher:b-1 --sdk-language PYTHON "
        "--metadata-file deploy/dataflow/metadata.json"
    )


def test_an_image_that_does_not_build_is_not_pushed(tools: dict[str, str]) -> None:
    assert run("images", ALL, **tools, CODE_build="1")[0] == 1
    assert not [line for line in calls(tools) if "push" in line]


@pytest.mark.parametrize(("code", "proved"), [(0, True), (3, True), (4, False), (2, False), (1, False)])
def test_a_night_s_exit_code_is_the_build_s(tools: dict[str, str], code: int, proved: bool) -> None:
    given = {**ALL, "_NIGHT": "2026-01-31", "_STATE": "gs://b/state", "_BEAM_FLAGS": "--runner=R --x=y"}
    found, printed = run("score", given, **tools, CODE_score=str(code))
    assert found == code
    scored, *others = calls(tools)
    nights = "gs://p-digitmill/nights"
    assert scored == (
        "digitmill score --input gs://p-digitmill/incoming --model gs://p-digitmill/model "
        f"--output {nights}/2026-01-31 --since {nights} --state gs://b/state --resume "
        "--max-failure-rate 0.05 --runner=R --x=y"
    )
    after = [
        f"digitmill verify {nights}/2026-01-31",
        f"digitmill compact {nights} gs://b/state --output gs://b/state/2026-01-31 --resume --runner=R --x=y",
    ]
    assert others == (after if proved else [])
    link = "https://storage.cloud.google.com/p-digitmill/nights/2026-01-31/report.html"
    assert (link in printed) == proved
    output = pathlib.Path(tools["BUILDER_OUTPUT"]) / "output"
    assert (output.exists() and output.read_text() == link) == proved


def test_an_output_that_cannot_be_proved_fails_the_build(tools: dict[str, str]) -> None:
    code, printed = run("score", ALL, **tools, CODE_verify="4")
    assert code == 4
    assert "report:" not in printed


def test_training_is_submitted_with_the_project_and_what_else_is_given(tools: dict[str, str]) -> None:
    given = {**ALL, "_SUBMIT_FLAGS": "--recipe cnn --output gs://b/run --image i"}
    assert run("train", given, **tools)[0] == 0
    assert calls(tools) == [
        "digitmill submit --to vertex --project p --region europe-west4 "
        "--recipe cnn --output gs://b/run --image i"
    ]


def test_training_without_a_word_of_what_is_refused(tools: dict[str, str]) -> None:
    code, printed = run("train", ALL, **tools)
    assert code != 0
    assert "say what to train" in printed
    assert calls(tools) == []


def test_github_s_summary_has_the_link(tools: dict[str, str], tmp_path: pathlib.Path) -> None:
    summary = tmp_path / "summary.md"
    run("score", {**ALL, "_NIGHT": "n"}, **tools, GITHUB_STEP_SUMMARY=str(summary))
    assert summary.read_text().startswith("[Report of n](https://storage.cloud.google.com/")
