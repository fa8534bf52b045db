"""The nightly script as cron starts it, on disk."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from digitmill.verbs.sample import write_sample

SCRIPT = pathlib.Path(__file__).parents[2] / ".ci" / "score-night"


@pytest.mark.slow
def test_the_first_night_on_disk_makes_the_state(bundle_path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    write_sample(tmp_path / "scans", "validation", number=20)
    places = {"INPUT": "scans", "NIGHTS": "nights", "STATE": "state"}
    night = {name: str(tmp_path / place) for name, place in places.items()}
    night |= {"MODEL": str(bundle_path), "NIGHT": "1", "DIGITMILL": f"{sys.executable} -m digitmill"}
    done = subprocess.run(
        ["bash", str(SCRIPT)],
        env=os.environ | night,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == f"report: {tmp_path}/nights/1/report.html"
    state = json.loads((tmp_path / "state/1/manifest.json").read_text())
    assert state["counts"]["scored"] == 20
