"""The command works beside a user's own folders of its packages' names, or says in one line why not."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from digitmill.import_path import PACKAGES
from digitmill.verbs.sample import write_sample
from schemas.errors import ExitCode

ROOT = pathlib.Path(__file__).parents[2]
COMMAND = ("-c", "from digitmill.__main__ import main; main()")
"""What the installed script does, but that `-c` puts the working directory first, as `-m` does."""


def python(
    *arguments: object, folder: pathlib.Path, path: tuple[object, ...] = (), **environment: str
) -> subprocess.CompletedProcess:
    """Run a new Python in a folder; `path` is on PYTHONPATH, before this checkout."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**kept, "PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT))), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def packages(folder: pathlib.Path, *names: str) -> pathlib.Path:
    """Make packages that end whoever imports them."""
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise SystemExit('imported the wrong package')")
    return folder


@pytest.fixture
def project(tmp_path: pathlib.Path) -> pathlib.Path:
    """A user's own project, whose folders have the names of digitmill's."""
    return packages(tmp_path / "project", "pipelines", "schemas", "trainer", "tests")


@pytest.mark.parametrize("path", [(), ("",)], ids=["beside", "empty entry of PYTHONPATH"])
def test_a_project_with_the_same_folders_is_no_obstacle(project: pathlib.Path, path: tuple[str, ...]) -> None:
    done = python(*COMMAND, "recipes", folder=project, path=path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "dense-128" in done.stdout


def test_the_module_drops_the_working_directory_too(project: pathlib.Path) -> None:
    done = python("-m", "digitmill", "recipes", folder=project)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "module",
    [
        "pipelines.score",
        "pipelines.compact",
        "pipelines.review",
        "pipelines.pack",
        "pipelines.verify",
        "trainer.task",
    ],
)
def test_a_job_s_module_words_its_errors_beside_a_folder_of_contracts(
    tmp_path: pathlib.Path, module: str
) -> None:
    done = python("-m", module, folder=packages(tmp_path, "schemas"))
    assert done.returncode == ExitCode.USAGE
    assert done.stderr.startswith("digitmill: Missing ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("names", [("schemas",), ("trainer", "schemas", "pipelines")])
@pytest.mark.parametrize("start", [COMMAND, ("-m", "digitmill")], ids=["command", "module"])
def test_a_shadow_on_pythonpath_is_refused_in_one_line(
    tmp_path: pathlib.Path, names: tuple[str, ...], start: tuple[str, ...]
) -> None:
    shadow = packages(tmp_path / "shadow", *names)
    done = python(*start, "recipes", folder=tmp_path, path=(shadow,))
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert len(done.stderr.splitlines()) == 1
    assert all(f"{shadow}/{name}" in done.stderr for name in names)
    assert f"Remove {shadow} from PYTHONPATH" in done.stderr


def test_a_folder_that_pythonpath_names_is_a_shadow_where_one_works_too(project: pathlib.Path) -> None:
    done = python(*COMMAND, "recipes", folder=project, path=(project,))
    assert done.returncode == ExitCode.USAGE
    assert f"{project}/schemas" in done.stderr


def test_a_module_hides_a_package_too(tmp_path: pathlib.Path) -> None:
    (tmp_path / "schemas.py").touch()
    (tmp_path / "elsewhere").mkdir()
    done = python(*COMMAND, "recipes", folder=tmp_path / "elsewhere", path=(tmp_path,))
    assert done.returncode == ExitCode.USAGE
    assert f"{tmp_path}/schemas.py hides" in done.stderr


def test_asked_for_json_the_refusal_is_json_too(tmp_path: pathlib.Path) -> None:
    done = python(*COMMAND, "recipes", "--json", folder=tmp_path, path=(packages(tmp_path, "schemas"),))
    said = json.loads(done.stdout)
    assert (done.returncode, said["exit_code"]) == (ExitCode.USAGE, ExitCode.USAGE)
    assert said["value"] == [f"{tmp_path}/schemas"]
    assert done.stderr == f"digitmill: {said['error']}. {said['hint']}\n"


def test_other_folders_on_pythonpath_stay(tmp_path: pathlib.Path) -> None:
    (tmp_path / "mine.py").touch()
    program = "from digitmill import import_path; import_path.check(); import mine"
    assert python("-c", program, folder=ROOT, path=(tmp_path,)).returncode == 0


def test_processes_that_are_started_find_the_same_packages(project: pathlib.Path) -> None:
    program = (
        "import subprocess, sys; from digitmill import import_path; import_path.check(); "
        "subprocess.run([sys.executable, '-m', 'schemas.errors'], check=True)"
    )
    done = python("-c", program, folder=project, path=("",))
    assert done.returncode == 0, done.stderr


def test_without_a_shadow_processes_that_are_started_find_the_working_directory(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "mine.py").touch()
    program = (
        "import subprocess, sys; from digitmill import import_path; import_path.check(); "
        "subprocess.run([sys.executable, '-m', 'mine'], check=True)"
    )
    assert python("-c", program, folder=tmp_path).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [["--workers", "2"], ["--runner", "FnApiRunner", "--direct_running_mode", "multi_processing"]],
    ids=["workers", "Beam's processes"],
)
def test_a_run_scores_in_such_a_folder(project: pathlib.Path, flags: list[str]) -> None:
    write_sample(project / "digits", "test", number=50)
    done = python(*COMMAND, "score", "--input", "digits", "--output", "out", *flags, folder=project)
    assert done.returncode == 0, done.stderr
    assert json.loads((project / "out" / "manifest.json").read_text())["counts"]["scored"] == 50


def test_every_package_is_looked_for() -> None:
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks", "docs", "tests"} == set(
        PACKAGES
    )
