"""What the README shows is run, and what it lists is compared with the code."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from digitmill.verbs.sample import write_sample
from schemas.errors import ExitCode

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for line in README.splitlines() if line.startswith(".venv/bin/digitmill ")]


def test_every_exit_code_that_score_uses_is_explained() -> None:
    (sentence,) = re.findall(r"Exit codes: (.+?)\n\n", README, re.DOTALL)
    assert [int(code) for code in re.findall(r"(?:^|,\s)(\d+) ", sentence)] == sorted(ExitCode)


@pytest.mark.slow
def test_the_commands_work_as_written_one_after_the_other(tmp_path: pathlib.Path) -> None:
    write_sample(tmp_path / "meters", "test")
    write_sample(tmp_path / "scans", "validation")
    assert COMMANDS
    for command in COMMANDS:
        _, *arguments = shlex.split(command)
        done = subprocess.run(
            [sys.executable, "-m", "digitmill", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[1])},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{command}: {done.stderr[-1000:]}"
