import json
import pathlib
import re

import click
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.flex_template import WORKER_IMAGE, main, metadata, to_flags, with_workers
from pipelines.score.score_command import score

DEPLOY = pathlib.Path(__file__).parents[2] / "deploy" / "dataflow"


def test_the_metadata_is_that_of_the_flags() -> None:
    committed = json.loads((DEPLOY / "metadata.json").read_text(encoding="utf-8"))
    assert committed == metadata(), "make deploy writes it anew"


def test_every_parameter_is_described_and_a_flag_of_score() -> None:
    flags = {name for option in score.params for name in option.opts}
    for parameter in metadata()["parameters"]:
        assert f"--{parameter['name']}" in flags
        assert parameter["helpText"].strip()
        assert parameter["paramType"] in ("TEXT", "GCS_READ_FILE", "GCS_READ_FOLDER", "GCS_WRITE_FOLDER")
        for regex in parameter.get("regexes", ()):
            re.compile(regex)
    required = [p["name"] for p in metadata()["parameters"] if not p["isOptional"]]
    assert required == ["input", "output"]


@pytest.mark.parametrize(
    ("argument", "flags"),
    [
        ("--resume=true", ["--resume"]),
        ("--resume=false", []),
        ("--resume", ["--resume"]),
        ("--input=gs://b/a,gs://b/c", ["--input", "gs://b/a", "--input", "gs://b/c"]),
        ("--output=gs://b/o=1", ["--output", "gs://b/o=1"]),
        ("--runner=DataflowRunner", ["--runner=DataflowRunner"]),
        ("--accept-threshold=0.95", ["--accept-threshold", "0.95"]),
    ],
)
def test_arguments_of_a_template_become_flags(argument: str, flags: list[str]) -> None:
    assert to_flags([argument]) == flags


PARAMETERS = metadata()["parameters"]
VALUES = {
    p["name"]: st.from_regex(p.get("regexes", ["^[a-z]{1,5}$"])[0].removesuffix("$") + r"\Z")
    for p in PARAMETERS
}


@settings(max_examples=50)
@given(st.fixed_dictionaries({}, optional=VALUES))
def test_whatever_the_metadata_let_through_the_command_reads(chosen: dict[str, str]) -> None:
    flags = to_flags([f"--{name}={value}" for name, value in chosen.items()])
    parser = score.make_parser(click.Context(score))
    values, rest, _ = parser.parse_args(flags)
    assert rest == []
    assert len(values.keys() - {"beam_flags"}) == sum(value != "false" for value in chosen.values())


def test_the_launcher_is_the_command(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(SystemExit) as ended:
        main(["launch", f"--input={tmp_path}", "--output=gs://b/out", "--runner=DataflowRunner"])
    assert ended.value.code == 2
    assert "cannot read a local input" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "environment", "added"),
    [
        (["--resume"], {WORKER_IMAGE: "r/worker:1"}, ["--sdk_container_image=r/worker:1"]),
        (["--resume"], {}, []),
        (["--resume"], {WORKER_IMAGE: ""}, []),
        (["--sdk_container_image=mine"], {WORKER_IMAGE: "r/worker:1"}, []),
        (["--setup_file=./setup.py"], {WORKER_IMAGE: "r/worker:1"}, []),
    ],
)
def test_jobs_run_in_the_launcher_s_own_worker_unless_they_name_another(
    flags: list[str], environment: dict[str, str], added: list[str]
) -> None:
    assert with_workers(flags, environment) == [*flags, *added]


def test_the_launcher_s_image_says_which_worker_it_was_made_from() -> None:
    text = (DEPLOY / "launcher.Dockerfile").read_text(encoding="utf-8")
    # An argument from before the first stage is unknown within one until it is named again.
    stage = text.rpartition("\nFROM ")[2]
    assert stage.index("\nARG WORKER\n") < stage.index(f"\nENV {WORKER_IMAGE}=${{WORKER}}\n")


def test_metadata_is_printed(capsys: pytest.CaptureFixture) -> None:
    main(["metadata"])
    assert json.loads(capsys.readouterr().out) == metadata()
    assert CliRunner().invoke(score, ["--help"]).exit_code == 0
