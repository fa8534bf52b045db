"""The examples run as written, and docs/beam.md shows them as they are."""

import pathlib
import re
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))


def run(example: str, folder: pathlib.Path, bundle: pathlib.Path) -> list[str]:
    command = [sys.executable, "-m", f"examples.{example}", str(folder), str(bundle)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


@pytest.fixture
def folder(tmp_path: pathlib.Path, digits: np.ndarray, png_of: Callable) -> pathlib.Path:
    """20 digits and a file that is none."""
    for number in range(20):
        (tmp_path / f"{number:02d}.png").write_bytes(png_of(digits[number * 20]))
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    return tmp_path


@pytest.mark.slow
def test_classify_images(folder: pathlib.Path, bundle_path: pathlib.Path) -> None:
    lines = dict(line.split(": ") for line in run("classify_images", folder, bundle_path))
    assert lines.pop("failed UNSUPPORTED") == "1"
    assert all(re.fullmatch(r"digit \d", line) for line in lines)
    assert sum(map(int, lines.values())) == 20


@pytest.mark.slow
def test_run_inference(folder: pathlib.Path, bundle_path: pathlib.Path) -> None:
    lines = run("run_inference", folder, bundle_path)
    assert f"{(folder / 'bad.png').as_uri()} UNSUPPORTED" in lines
    assert sum(bool(re.fullmatch(r"file:///\S+/\d\d\.png \d [01]\.\d{4}", line)) for line in lines) == 20


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_documentation_shows_it_as_it_is(example: str) -> None:
    code = (ROOT / "examples" / f"{example}.py").read_text(encoding="utf-8")
    shown = re.findall(
        r"```python\n(.+?)```", (ROOT / "docs" / "beam.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert code in shown
