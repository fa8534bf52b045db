"""Whole runs with worker processes, and what may befall those."""

import os
import pathlib
import signal
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess

import psutil
import pytest

from digitmill.storage import OutputFolder, open_folder
from pipelines.listing.frozen_listing import ListingIndex
from pipelines.output.verification import verify
from pipelines.score import run_listing, score_job
from pipelines.score_options import ScoreOptions
from pipelines.scoring.classify import Classifier
from pipelines.workers.pool import WorkerPool
from schemas.errors import StoppedError, UserError
from tests.beam_engines import contents
from tests.launching import launch

WORKER = "pipelines.workers.process"

# A worker process that is killed as soon as it scores the work item of one listing file.
DIES_OF_ONE = r"""
import os, signal, sys
from pipelines.scoring.scoring_task import LocalScorer
from pipelines.workers.process import main

real = LocalScorer.run

def run(scorer, ref):
    if ref[0].endswith("00007.json.gz"):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(scorer, ref)

LocalScorer.run = run
main(sys.argv[1:])
"""


def options(folder: pathlib.Path, bundle_path: pathlib.Path, output: object, **more: object) -> ScoreOptions:
    few = {"labels": "folder", "rows_per_part": 20}
    return ScoreOptions(inputs=(str(folder),), model=bundle_path, output=str(output), **(few | more))


@pytest.fixture(scope="module")
def alone(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """What one process writes."""
    output = tmp_path_factory.mktemp("alone") / "out"
    assert score_job.run(options(digit_folder, bundle_path, output, workers=1)).manifest.counts.scored == 500
    return contents(output)


def workers_of(launcher: BaseProcess) -> list[psutil.Process]:
    """Wait until a launcher has worker processes; none where it has ended before any was seen."""
    while launcher.is_alive():
        try:
            children = psutil.Process(launcher.pid).children()
            found = [child for child in children if WORKER in child.cmdline()]
        except psutil.Error:
            continue  # one has just ended
        if found:
            return found
    return []


@pytest.fixture
def command(digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path) -> list[object]:
    """A run into `out`."""
    flags = ["--labels", "folder", "--rows-per-part", 20, "--workers", 2, "--resume"]
    return ["score", "--input", digit_folder, "--model", bundle_path, "--output", tmp_path / "out", *flags]


@pytest.fixture
def launched(
    command: list[object], tmp_path: pathlib.Path
) -> Callable[[], tuple[BaseProcess, list[psutil.Process]]]:
    """Launches it, and returns the launcher and its worker processes."""

    def start() -> tuple[BaseProcess, list[psutil.Process]]:
        launcher = launch(command, tmp_path / "log")
        found = workers_of(launcher)
        assert found, (tmp_path / "log").read_text()
        return launcher, found

    return start


def test_processes_write_what_one_writes(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path, alone: dict[str, bytes]
) -> None:
    score_job.run(options(digit_folder, bundle_path, tmp_path / "out", workers=2))
    assert contents(tmp_path / "out") == alone
    assert not [
        child for child in psutil.Process().children() if child.is_running() and WORKER in child.cmdline()
    ]


@pytest.mark.slow
def test_the_launcher_scores_nothing_itself(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def here(*_: object) -> None:
        raise AssertionError("it was scored here")

    monkeypatch.setattr(Classifier, "classify", here)
    manifest = score_job.run(options(digit_folder, bundle_path, tmp_path / "out", workers=2)).manifest
    assert manifest.counts.scored == 500


@pytest.mark.slow
def test_a_worker_that_is_killed_in_mid_run_costs_nothing(
    launched: Callable, tmp_path: pathlib.Path, alone: dict[str, bytes]
) -> None:
    launcher, (victim, *_) = launched()
    victim.send_signal(signal.SIGKILL)
    launcher.join(100)
    assert launcher.exitcode == 0, (tmp_path / "log").read_text()
    assert contents(tmp_path / "out") == alone
    assert verify(open_folder(str(tmp_path / "out"))).findings == ()


@pytest.mark.slow
def test_a_killed_launcher_leaves_no_worker_and_its_run_can_be_resumed(
    launched: Callable, command: list[object], tmp_path: pathlib.Path, alone: dict[str, bytes]
) -> None:
    launcher, workers = launched()
    launcher.kill()
    launcher.join(100)
    _, alive = psutil.wait_procs(workers, timeout=100)
    assert alive == []
    again = launch(command, tmp_path / "log")
    again.join(100)
    assert again.exitcode == 0, (tmp_path / "log").read_text()
    assert contents(tmp_path / "out") == alone


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_launcher_ends_its_workers(
    launched: Callable, command: list[object], tmp_path: pathlib.Path, alone: dict[str, bytes], sent: int
) -> None:
    launcher, workers = launched()
    os.kill(launcher.pid, sent)
    launcher.join(100)
    _, alive = psutil.wait_procs(workers, timeout=100)
    assert alive == []
    assert launcher.exitcode == 1
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line.startswith("digitmill: stopped by a signal. Finished work is kept. To resume: ")
    assert "--workers 2" in line
    again = launch(command, tmp_path / "log")
    again.join(100)
    assert again.exitcode == 0, (tmp_path / "log").read_text()
    assert contents(tmp_path / "out") == alone


@pytest.mark.slow
def test_a_work_item_that_kills_every_worker_stops_the_run_in_one_line(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    alone: dict[str, bytes],
) -> None:
    asked = options(digit_folder, bundle_path, tmp_path / "out", workers=2)
    with (
        WorkerPool(2, command=(sys.executable, "-c", DIES_OF_ONE)) as pool,
        pytest.raises(StoppedError, match=r"SIGKILL.*launcher-00007.json.gz, 0: 20 images from .*--resume"),
    ):
        score_job.run(asked, pool)
    score_job.run(options(digit_folder, bundle_path, tmp_path / "out", workers=2, resume=True))
    assert contents(tmp_path / "out") == alone


def test_a_store_that_refuses_a_worker_stops_the_run_in_one_line(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = options(digit_folder, bundle_path, tmp_path / "out", workers=2)
    real = run_listing.read_index

    def spoils_the_output(output: OutputFolder) -> ListingIndex | None:
        frozen = real(output)
        if frozen is not None:  # What should be a folder is a file.
            (tmp_path / "out" / "predictions").write_bytes(b"")
        return frozen

    monkeypatch.setattr(run_listing, "read_index", spoils_the_output)
    with pytest.raises(StoppedError, match=r"cannot read or write the output .*--resume"):
        score_job.run(asked)


def test_workers_is_refused_with_other_runners(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    flags = ("--direct_running_mode=multi_processing",)
    asked = options(digit_folder, bundle_path, tmp_path / "out", workers=2, beam_flags=flags)
    with pytest.raises(UserError, match=r"--workers works with the DirectRunner only.* 2"):
        score_job.run(asked)
    assert not (tmp_path / "out").exists()
