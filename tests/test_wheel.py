"""What wheel and source distribution hold and install, and that it works from there."""

import glob
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import pytest
import setuptools

from schemas.errors import ExitCode

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("digitmill", "pipelines", "schemas", "trainer")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NOT_SOURCE = [
    ".git",
    ".venv",
    ".hypothesis",
    ".*_cache",
    "__pycache__",
    "*.egg-info",
    "build",
    "target",
    ".terraform*",
]
"""What lies in a checkout that was worked in; one without a repository cannot be asked for its files."""


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
def dist(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder with what is built of a copy of this checkout: a build leaves its folders beside the source.

    The wheel is built from the source distribution.
    """
    folder = tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*NOT_SOURCE), dirs_exist_ok=True)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "built", folder]
    subprocess.run([*map(str, build)], check=True, capture_output=True, timeout=300)
    return folder / "built"


@pytest.fixture(scope="module")
def wheel(dist: pathlib.Path) -> pathlib.Path:
    (built,) = dist.glob("*.whl")
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


@pytest.mark.slow
def test_the_source_has_docs_examples_and_pins_and_neither_tests_nor_builds(
    dist: pathlib.Path,
) -> None:
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in (
        *("README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "NOTICE", "Makefile", "constraints.txt"),
        *("docs/index.md", "docs/notebooks/first-steps.ipynb", "examples/classify_images.py"),
        *("deploy/locks/all.txt", "trainer/data/sources/mnist_sample.npz", "digitmill/model/model.tflite"),
    ):
        assert name in names
    assert not {name for name in names if "test" in name.partition("/")[0] or "__pycache__" in name}
    assert not names & {"docs/reference", "build", "benchmarks"}


QUICK_START = (
    ["sample", "digits", "--n", "100"],
    ["score", "--input", "digits", "--labels", "folder", "--output", "scores"],
    ["verify", "scores"],
    ["evaluate", "--data", "sample"],
)

ABSENT = "import importlib.util as u, sys; sys.exit(any(map(u.find_spec, sys.argv[1:])))"


@pytest.mark.cloud
@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"], ids=["wheel", "sdist"])
def test_what_pip_installs_scores_without_tensorflow(
    dist: pathlib.Path, kind: str, tmp_path: pathlib.Path
) -> None:
    (package,) = dist.glob(kind)
    pins = re.findall(r"^[a-z0-9].+?(?= *\\$)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    (tmp_path / "pins.txt").write_text("\n".join(pins), encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    python, command = (str(tmp_path / "venv" / "bin" / name) for name in ("python", "digitmill"))

    def do(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            words, cwd=tmp_path, env=kept, capture_output=True, text=True, check=False, timeout=1800
        )

    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    for step in (["install", "--quiet", "--constraint", "pins.txt", str(package)], ["check"]):
        done = do(python, "-m", "pip", *step)
        assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    for words in QUICK_START:
        done = do(command, *words)
        assert done.returncode == ExitCode.OK, done.stderr
        assert "WARNING" not in done.stderr
    assert (tmp_path / "scores" / "report.html").is_file()
    assert do(python, "-c", ABSENT, "tensorflow", "keras", "pandas", "matplotlib").returncode == 0
    assert "No module named" in do(python, "-c", "import google.cloud.storage").stderr
    refused = do(command, "train", "--recipe", "cnn", "--output", "run")
    remedy = "Run pip install 'digitmill[train]'."
    assert (refused.returncode, refused.stdout) == (ExitCode.USAGE, "")
    assert refused.stderr == f"digitmill: TensorFlow is not installed: 'digitmill train'. {remedy}\n"
    assert not (tmp_path / "run").exists()
    shutil.rmtree(tmp_path / "venv")  # a gigabyte


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
