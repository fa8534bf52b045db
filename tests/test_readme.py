"""What the README shows is run, and what it lists is compared with the code."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import cv2
import numpy as np
import pytest

from digitmill.imaging.batch import decode_batch
from digitmill.imaging.limits import MAX_PIXELS
from digitmill.verbs.sample import write_sample
from schemas import prediction
from schemas.errors import ExitCode
from schemas.failure import MAX_BYTES, FailureCode

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.startswith("digitmill ")]


def test_the_row_that_it_shows_is_a_row_of_predictions() -> None:
    header, row = re.findall(r"^```text\n(image,.+)\n(file://.+)\n```$", README, re.MULTILINE)[0]
    columns = [column.name for column in prediction.COLUMNS]
    assert header.split(",") == columns
    cells = dict(zip(columns, row.split(","), strict=True))
    assert (cells["digit"], cells["decision"]) == ("0", "accept")
    assert float(cells["confidence"]) + float(cells["second_confidence"]) <= 1


def test_the_limits_that_it_states_are_those_of_the_code() -> None:
    assert f"at most {MAX_PIXELS:,} pixels" in README
    assert f"and {MAX_BYTES // 2**20} MiB; from 3 × 3 pixels on" in README
    smallest = cv2.imencode(".png", np.pad(np.zeros((1, 1), np.uint8), 1, constant_values=255))[1].tobytes()
    none = cv2.imencode(".png", np.full((2, 2), 255, np.uint8))[1].tobytes()
    low = np.full((28, 28), 200, np.uint8)
    faint = [low.copy(), low.copy()]
    for picture, contrast in zip(faint, (11, 13), strict=True):
        picture[4:24, 12:16] -= contrast
    files = [smallest, none, *(cv2.imencode(".png", picture)[1].tobytes() for picture in faint)]
    blank = [
        error is not None and error.code is FailureCode.BLANK
        for error in decode_batch(files, len(files)).errors
    ]
    assert blank == [False, True, True, False]
    assert "a contrast of at least 12 of 255 gray levels" in README


def test_every_exit_code_that_score_uses_is_explained() -> None:
    (sentence,) = re.findall(r"Exit codes: (.+?)\n\n", README, re.DOTALL)
    assert [int(code) for code in re.findall(r"(?:^|,\s)(\d+) ", sentence)] == sorted(ExitCode)


@pytest.mark.slow
def test_the_commands_work_as_written_one_after_the_other(tmp_path: pathlib.Path) -> None:
    write_sample(tmp_path / "meters", "test")
    assert len(COMMANDS) > 10
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
