"""The build file against the service's definition, and its steps with stand-ins for what they call."""

import pathlib
import re
import subprocess

import pytest
from google.protobuf import json_format

from tests.deploy.cloud_build import BUILT_IN, CONFIG, IN_IMAGE, NIGHT, ROOT, run, step, used

ALL = {"_PARTS": "test images train"}
DIGEST = "@sha256:" + 64 * "a"
SCORER = f"r/scorer{DIGEST}"
IMAGES = ("worker", "launcher", "flink-worker", "scorer", "trainer")


@pytest.fixture
def tools(tmp_path: pathlib.Path) -> dict[str, str]:
    """Programs that write down their arguments, as an environment; CODE_VERB is a verb's exit code."""
    for name in ("docker", "gcloud", "make", "digitmill"):
        (tmp_path / name).write_text(
            f'#!/bin/sh\necho {name} "$@" >> "$CALLS"\nverb=$(echo "$1" | tr - _)\n'
            # As Docker names what it has pushed, now and elsewhere before.
            'if [ "$1" = image ]; then for word; do :; done; '
            'echo "elsewhere/i$DIGEST"; echo "${word%:*}$DIGEST"; fi\n'
            'eval "exit \\${CODE_$verb:-0}" 2> /dev/null\n'
        )
        (tmp_path / name).chmod(0o755)
    return {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "CALLS": str(tmp_path / "calls"),
        "DIGEST": DIGEST,
        "DIGITMILL": "digitmill",
        "BUILDER_OUTPUT": str(tmp_path),
    }


def calls(tools: dict[str, str]) -> list[str]:
    file = pathlib.Path(tools["CALLS"])
    return file.read_text().splitlines() if file.exists() else []


@pytest.mark.parametrize(
    ("config", "steps"), [(CONFIG, ["test", "images", "template", "train"]), (NIGHT, ["score"])]
)
def test_the_file_is_of_the_service_s_definition(config: dict, steps: list[str]) -> None:
    from google.cloud.devtools.cloudbuild_v1 import Build

    # Strict: a field that the service does not know is an error.
    build = json_format.ParseDict(config, Build.pb(Build()))
    assert [one.id for one in build.steps] == steps


def test_the_validation_would_see_a_misspelt_field() -> None:
    from google.cloud.devtools.cloudbuild_v1 import Build

    with pytest.raises(json_format.ParseError, match="entrypiont"):
        json_format.ParseDict({"steps": [{"entrypiont": "bash"}]}, Build.pb(Build()))


@pytest.mark.parametrize("config", [CONFIG, NIGHT])
def test_every_substitution_is_declared_and_used(config: dict) -> None:
    declared = set(config["substitutions"])
    assert used(config) - set(BUILT_IN) == declared
    assert all(re.fullmatch(r"_[A-Z0-9_]+", name) for name in declared)
    assert all(isinstance(value, str) for value in config["substitutions"].values())


def test_a_night_is_scored_in_the_image_that_is_named() -> None:
    assert step("score")["name"] == "${_SCORER}"
    # Without a name the service refuses the build.
    assert NIGHT["substitutions"]["_SCORER"] == ""
    (script,) = step("score")["args"]
    dockerfile = (ROOT / "deploy" / "nightly" / "scorer.Dockerfile").read_text()
    assert f'ENTRYPOINT ["bash", "{script}"]' in dockerfile
    assert (ROOT / script.removeprefix(IN_IMAGE)).is_file()


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
    said = []
    for name in ("images", "template"):
        code, printed = run(name, ALL, **tools)
        assert code == 0, printed
        said.append(printed)
    repository = "europe-west4-docker.pkg.dev/p/digitmill"
    built = [line for line in calls(tools) if line.startswith("docker build")]
    for line in built:
        (file,) = re.findall(r"--file (\S+)", line)
        assert (ROOT / file).is_file()
    images = [f"{repository}/{image}:b-1" for image in IMAGES]
    assert [re.findall(r"--tag (\S+)", line)[0] for line in built] == images
    # A template's jobs run in exactly that worker.
    assert f"--build-arg WORKER={repository}/worker{DIGEST}" in built[1]
    assert [line.rpartition(" ")[2] for line in calls(tools) if line.startswith("docker push")] == images
    assert all(f"image: {repository}/{image}{DIGEST}" in said[0] for image in IMAGES)
    assert calls(tools)[-1] == (
        "gcloud dataflow flex-template build gs://p-digitmill-code/templates/score.json "
        f"--image {repository}/launcher:b-1 --sdk-language PYTHON "
        "--metadata-file deploy/dataflow/metadata.json"
    )


@pytest.mark.parametrize("name", ["images", "template"])
def test_a_tag_that_comes_to_mean_another_image_is_refused(tools: dict[str, str], name: str) -> None:
    given = {"REPOSITORY": "r", "TAG": "latest", "TEMPLATE": "gs://b/t"}
    done = subprocess.run(
        [str(ROOT / ".ci" / name)], env={**tools, **given}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("TAG is latest")
    assert calls(tools) == []


def night_in_the_image(tools: dict[str, str], **given: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(ROOT / ".ci" / "night")], env={**tools, **given}, capture_output=True, text=True, check=False
    )


def test_a_night_on_github_runs_in_the_image_with_the_environment_of_the_step(tools: dict[str, str]) -> None:
    given = {"SCORER": SCORER, "GITHUB_STEP_SUMMARY": "/s", "GOOGLE_APPLICATION_CREDENTIALS": "/c"}
    assert night_in_the_image(tools, **given).returncode == 0
    (call,) = calls(tools)
    assert call.startswith("docker run --rm ")
    assert call.endswith(f" {SCORER}")
    assert {line.partition("=")[0] for line in step("score")["env"]} < set(re.findall(r"--env (\S+)", call))
    assert re.findall(r"--volume (\S+)", call) == ["/c:/c", "/s:/s"]


def test_a_night_s_image_is_named_by_its_digest(tools: dict[str, str]) -> None:
    done = night_in_the_image(tools, SCORER="r/scorer:1")
    assert done.returncode == 2
    assert "not named by its digest" in done.stderr
    assert calls(tools) == []


@pytest.mark.parametrize(("script", "target"), [("score-night", "scorer"), ("submit-training", "install")])
def test_without_an_image_a_step_installs_what_it_takes(
    tools: dict[str, str], script: str, target: str
) -> None:
    given = {"INPUT": "i", "MODEL": "m", "NIGHTS": "n", "PROJECT": "p", "REGION": "r", "SUBMIT_FLAGS": "f"}
    environment = {**tools, **given, "DIGITMILL": ""}
    # What make would have installed is not there: the step stops at its first command.
    subprocess.run(
        [str(ROOT / ".ci" / script)], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert calls(tools)[0] == f"make {target}"


def test_an_image_that_does_not_build_is_not_pushed(tools: dict[str, str]) -> None:
    assert run("images", ALL, **tools, CODE_build="1")[0] == 1
    assert not [line for line in calls(tools) if "push" in line]


@pytest.mark.parametrize(("code", "proved"), [(0, True), (3, True), (4, False), (2, False), (1, False)])
def test_a_night_s_exit_code_is_the_build_s(tools: dict[str, str], code: int, proved: bool) -> None:
    given = {**ALL, "_NIGHT": "2026-01-31", "_STATE": "gs://b/state", "_BEAM_FLAGS": "--runner=R --x=y"}
    found, printed = run("score", given, **tools, CODE_score=str(code))
    assert found == code
    scored, *others = calls(tools)
    nights = "gs://p-digitmill-outputs/nights"
    assert scored == (
        "digitmill score --input gs://p-digitmill-inputs/incoming --model gs://p-digitmill-models/model "
        f"--output {nights}/2026-01-31 --since {nights} --state gs://b/state --resume "
        "--max-failure-rate 0.05 --runner=R --x=y"
    )
    after = [
        f"digitmill verify {nights}/2026-01-31",
        f"digitmill compact {nights} gs://b/state --output gs://b/state/2026-01-31 --resume --runner=R --x=y",
    ]
    assert others == (after if proved else [])
    link = "https://storage.cloud.google.com/p-digitmill-outputs/nights/2026-01-31/report.html"
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
