"""What the wheel installs, and that it works from there."""

import glob
import os
import pathlib
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest
import setuptools

from schemas.errors import ExitCode

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("digitmill", "pipelines", "schemas", "trainer")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def files() -> set[str]:
    """Every file of the packages, by its path in the checkout."""
    found = (path.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("*"))
    return {str(path) for path in found if (ROOT / path).is_file() and "__pycache__" not in path.parts}


def test_nothing_else_lands_at_the_top_of_site_packages() -> None:
    chosen = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.partition(".")[0] for name in setuptools.find_packages(ROOT, include=chosen)} == set(
        PACKAGES
    )


def test_every_file_is_a_module_of_a_package_or_declared_as_data() -> None:
    packages = setuptools.find_packages(ROOT, include=[f"{name}*" for name in PACKAGES])
    modules = {
        str(path.relative_to(ROOT))
        for name in packages
        for path in (ROOT / name.replace(".", "/")).glob("*.py")
    }
    data = {
        str(pathlib.PurePath(*package.split("."), name))
        for package, patterns in PROJECT["tool"]["setuptools"]["package-data"].items()
        for pattern in patterns
        # Path.glob gives "**" folders alone before Python 3.13.
        for name in glob.glob(pattern, root_dir=ROOT / package.replace(".", "/"), recursive=True)
    }
    assert files() <= modules | data


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The wheel of a copy of this checkout: a build leaves its folders beside the source."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, folder)
    for name in (*PACKAGES, "tests", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder / "dist", folder]
    subprocess.run([*map(str, build)], check=True, capture_output=True, timeout=300)
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder into which the wheel is installed, without its dependencies."""
    folder = tmp_path_factory.mktemp("installed")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    subprocess.run([*install, str(folder), str(wheel)], check=True, capture_output=True, timeout=300)
    return folder


def run(installed: pathlib.Path, folder: pathlib.Path, *command: str) -> subprocess.CompletedProcess:
    """Run a program with the installed packages in front of this checkout's."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.slow
def test_the_wheel_holds_four_packages_with_all_their_files(wheel: pathlib.Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    inside = {name for name in names if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in inside} == set(PACKAGES)
    assert inside == files()


LOOK_UP = """
import importlib.resources, pathlib, sys
import digitmill
from digitmill.reports import html_page
root = pathlib.Path(digitmill.__file__).parents[1]
assert str(root) == sys.argv[1], root
files = sorted(root.rglob("templates/*"))
assert len(files) > 5, files
for file in files:
    package = ".".join(file.relative_to(root).parts[:-2])
    assert importlib.resources.files(package).joinpath("templates", file.name).read_text()
    html_page.environment(package).loader.get_source(None, file.name)
"""


@pytest.mark.slow
def test_the_installed_command_works_in_a_folder_with_packages_of_these_names(
    installed: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for name in ("pipelines", "schemas", "trainer", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    command = str(installed / "bin" / "digitmill")
    for verb in (
        ["sample", "digits", "--n", "100"],
        ["score", "--input", "digits", "--labels", "folder", "--output", "out"],
        ["report", "out"],
        ["review", "out"],
    ):
        done = run(installed, tmp_path, command, *verb)
        assert done.returncode == ExitCode.OK, done.stderr
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.slow
def test_every_template_is_found_where_the_wheel_is_installed(
    installed: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    done = run(installed, tmp_path, "-P", "-c", LOOK_UP, str(installed))
    assert done.returncode == 0, done.stderr
