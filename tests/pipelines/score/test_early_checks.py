import dataclasses
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence

import pytest

from digitmill.default_model import SHIPPED_MODEL
from pipelines.score.early_checks import check_early
from pipelines.score_options import ScoreOptions
from schemas import run_plan
from schemas.errors import UserError

HEAVY = ("apache_beam", "tensorflow", "matplotlib", "google.cloud.storage", "ai_edge_litert.interpreter")
PROGRAM = f"""
import sys
from digitmill.cli import main
try:
    main(sys.argv[1:])
finally:
    print("LOADED", *sorted(set({HEAVY!r}) & set(sys.modules)))
"""


def command(arguments: Sequence[object], folder: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own; its last line names the heavy modules that it has imported."""
    program = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)


def asked(folder: pathlib.Path, name: str, output: str, **more: bool) -> ScoreOptions:
    places = {"inputs": (str(folder / name),), "output": str(folder / output)}
    return ScoreOptions(model=str(SHIPPED_MODEL), **places, **more)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans/1.png").write_bytes(b"")
    (tmp_path / "1.png").touch()
    (tmp_path / "odd.csv").write_text("path;label\nscans/1.png;1\n")
    (tmp_path / "run/bundle").mkdir(parents=True)
    (tmp_path / "run/bundle/model_card.json").touch()
    (tmp_path / "used").mkdir()
    (tmp_path / "used/manifest.json").write_bytes(b"{}")
    return tmp_path


MISTAKES = [
    ("--input nowhere", "input not found: 'nowhere'. Check the path."),
    ("--input no/*.png", "no file matches the pattern: 'no/*.png'"),
    ("--input scans --inptu x", "unknown flag: '--inptu'. Did you mean --input"),
    ("--input scans --job_nmae=x", "unknown flag: '--job_nmae=x'. Did you mean --job_name"),
    ("scans 2.png", "input not found: '2.png'. Check the path."),
    ("--input scan", "input not found: 'scan'. Did you mean scans?"),
    ("--input scans --labels no.csv", "cannot read the labels file (No such file or directory): 'no.csv'."),
    (
        "--input scans --labels odd.csv",
        "'path;label'. Separate the columns of odd.csv by commas, not by semicolons.",
    ),
    ("--input-list no.txt", "cannot read the input list"),
    ("--input scans --model no", "model bundle not found: 'no'"),
    ("--input scans --challenger no", "model bundle not found: 'no'"),
    (
        "--input scans --model run",
        "not a model bundle, it has no model_card.json: 'run'. Did you mean run/bundle?",
    ),
    ("--input scans --since no", "no finished run in this folder"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("flags", "said"), MISTAKES)
def test_a_mistake_is_answered_before_beam_is_imported(flags: str, said: str, folder: pathlib.Path) -> None:
    done = command(["score", *flags.split(), "--output", "new"], folder)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (2, "LOADED")
    assert said in done.stderr
    assert not (folder / "new").exists()


@pytest.mark.parametrize(("flags", "said"), [MISTAKES[0], MISTAKES[2]])
def test_a_misspelt_flag_and_a_missing_path_are(flags: str, said: str, folder: pathlib.Path) -> None:
    done = command(["score", *flags.split(), "--output", "new"], folder)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (2, "LOADED")
    assert said in done.stderr


def test_a_used_output_is_refused(folder: pathlib.Path) -> None:
    options = asked(folder, "scans", "used")
    with pytest.raises(UserError):
        check_early(options, begins=True)
    check_early(options, begins=False)


def test_a_run_that_has_begun_is_resumed_without_its_inputs(folder: pathlib.Path) -> None:
    options = asked(folder, "gone", "new", resume=True)
    with pytest.raises(UserError, match="input not found"):
        check_early(options, begins=True)
    (folder / "new").mkdir()
    plan = run_plan.RunPlan(inputs=(), model="", preprocessing="", settings={}, past={})
    (folder / "new" / run_plan.FILE).write_text(plan.to_json())
    check_early(options, begins=True)


def test_what_is_in_a_store_is_left_to_the_job(folder: pathlib.Path) -> None:
    check_early(
        ScoreOptions(
            inputs=("gs://no-bucket/scans",), output="gs://no-bucket/scores", model="gs://no-bucket/bundle"
        ),
        begins=True,
    )


@pytest.mark.slow
def test_a_small_run_imports_beam_and_the_engine_alone(
    digit_folder: pathlib.Path, folder: pathlib.Path
) -> None:
    flags = ["--input", digit_folder, "--labels", "folder", "--limit", 20, "--output", "new"]
    done = command(["score", *flags], folder)
    loaded = done.stdout.splitlines()[-1]
    assert (done.returncode, loaded) == (0, "LOADED ai_edge_litert.interpreter apache_beam"), done.stderr
    assert (folder / "new/reports/confidence.png").exists()


def test_a_pipe_is_left_to_the_job(folder: pathlib.Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"scans/1.png\n")
    os.close(writer)
    more = {"input_list": f"/dev/fd/{reader}", "output": str(folder / "new")}
    check_early(ScoreOptions(model=str(SHIPPED_MODEL), inputs=(), **more), begins=True)
    assert os.read(reader, 100) == b"scans/1.png\n"
    os.close(reader)


def test_the_first_night_may_name_the_folder_that_it_makes(folder: pathlib.Path) -> None:
    first = dataclasses.replace(asked(folder, "scans", "nights/1"), since=str(folder / "nights"))
    check_early(first, begins=True)
    with pytest.raises(UserError, match="no finished run in this folder"):
        check_early(dataclasses.replace(first, since=str(folder / "night")), begins=True)
