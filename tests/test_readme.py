"""What the README shows is run, and what it lists is compared with the code."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from digitmill.sample import write_sample
from schemas.errors import ExitCode

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for line in README.splitlines() if line.startswith(".venv/bin/digitmill ")]


def test_every_exit_code_that_score_uses_is_explained() -> None:
    (sentence,) = re.findall(r"Exit codes: (.+?)\n\n", README, re.DOTALL)
    assert [int(code) for code in re.findall(r"(?:^|,\s)(\d+) ", sentence)] == sorted(ExitCode)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder in which the README's commands find what they name."""
    folder = tmp_path_factory.mktemp("workplace")
    write_sample(folder / "meters", "test")
    write_sample(folder / "scans", "validation")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_work_as_written(workplace: pathlib.Path, command: str) -> None:
    # In the order in which they stand: training comes before what uses its bundle.
    _, *arguments = shlex.split(command)
    done = subprocess.run(
        [sys.executable, "-m", "digitmill", *arguments],
        cwd=workplace,
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-1000:]
