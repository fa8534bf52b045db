"""Scoring from and to S3 and Azure, on servers that speak their protocols."""

import pathlib
import signal
import time
from collections.abc import Callable

import numpy as np
import pytest

from digitmill.storage import open_folder
from pipelines.output.verification import verify
from pipelines.score import score_job
from pipelines.score_options import ScoreOptions
from tests.beam_engines import contents
from tests.launching import launch
from tests.other_stores import Store

FLAGS = ("--runner=FnApiRunner",)


def options(folder: object, bundle_path: pathlib.Path, output: object, **more: object) -> ScoreOptions:
    return ScoreOptions((str(folder),), bundle_path, str(output), labels="folder", beam_flags=FLAGS, **more)


@pytest.mark.slow
def test_from_a_bucket_to_a_bucket(
    other_store: Store, bundle_path: pathlib.Path, digits: np.ndarray, labels: np.ndarray, png_of: Callable
) -> None:
    for number in range(0, 500, 25):
        other_store.put(f"in/{labels[number]}/{number}.png", png_of(digits[number]))
    other_store.put("in/0/bad.png", b"")
    output = f"{other_store.uri}/out"
    manifest = score_job.run(options(f"{other_store.uri}/in", bundle_path, output)).manifest
    assert (manifest.counts.scored, manifest.counts.failed, manifest.labeled) == (20, 1, 20)
    assert verify(open_folder(output)).findings == ()
    assert open_folder(output).read(".launcher.lock") == b"{}"


@pytest.mark.slow
def test_killed_at_two_points_and_gone_on_with_it_ends_the_same(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, other_store: Store, tmp_path: pathlib.Path
) -> None:
    asked = options(digit_folder, bundle_path, tmp_path / "undisturbed", rows_per_part=20)
    assert score_job.run(asked).manifest.counts.scored == 500
    output = open_folder(f"{other_store.uri}/out")
    few = ("--rows-per-part", 20, "--labels", "folder", *FLAGS, "--resume")
    command = ["score", "--input", digit_folder, "--model", bundle_path, "--output", output.place, *few]
    for items in (1, 12):
        process = launch(command, tmp_path / "log", environment=other_store.environment)
        for _ in range(3_000):
            if len(output.names("statistics")) >= items or not process.is_alive():
                break
            time.sleep(0.02)
        process.kill()
        process.join(300)
        assert process.exitcode == -signal.SIGKILL
        assert not output.exists("manifest.json")
    process = launch(command, tmp_path / "log", environment=other_store.environment)
    process.join(300)
    assert process.exitcode == 0, (tmp_path / "log").read_text()
    assert contents(output.place) == contents(tmp_path / "undisturbed")
    assert verify(output).findings == ()
