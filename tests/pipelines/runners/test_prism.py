"""Scoring on Prism, Beam's portable local runner: the same run as in the launcher's own process."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from multiprocessing.process import BaseProcess

import psutil
import pytest

from digitmill.default_model import SHIPPED_MODEL
from schemas.layout import MODELS
from tests.beam_engines import JOIN_SECONDS, Runs, when_half_is_read, worker_pool
from tests.gcs_emulator import Bucket, Proxy

SIGNS = ("PrismRunner:Serving JobManagement", "pipeline done!")
"""What only Prism says."""


@pytest.fixture
def runs(bundle_path: pathlib.Path, prism: str, tmp_path: pathlib.Path) -> Runs:
    # A program of the test's own: what is left of it can be told from that of others.
    program = tmp_path / "prism"
    program.symlink_to(prism)
    flags = ("--runner=PrismRunner", f"--prism_location={program}")
    return Runs(bundle_path, tmp_path, flags=flags, signs=SIGNS)


def left_behind(runs: Runs) -> list[psutil.Process]:
    """Processes of the test's own Prism."""
    mine = str(runs.folder / "prism")
    found = [each for each in psutil.process_iter(["cmdline"]) if mine in (each.info["cmdline"] or ())[:1]]
    # One that was killed is named until the system has cleared it away.
    return psutil.wait_procs(found, timeout=30)[1]


def test_workers_in_the_launcher(runs: Runs, digit_folder: pathlib.Path) -> None:
    assert runs.run(digit_folder) == 0
    runs.check(runs.direct(digit_folder))
    assert left_behind(runs) == []


def test_workers_of_a_pool(runs: Runs, digit_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with worker_pool(tmp_path / "pool") as pool:
        assert runs.run(digit_folder, *pool.flags) == 0
        assert "Starting worker with command" in (tmp_path / "pool/pool.log").read_text()
    runs.check(runs.direct(digit_folder))


def own_copy(runs: Runs, bundle: pathlib.Path, name: str) -> pathlib.Path:
    """A bundle's copy in a folder of the launcher's, which a pool may not see."""
    folder = runs.folder / "launcher" / name
    shutil.copytree(bundle, folder)
    return folder


@pytest.mark.usefixtures("own_mounts")
@pytest.mark.parametrize("engine", ["litert", "saved_model"])
def test_models_reach_workers_that_lack_the_launchers_files(
    engine: str, runs: Runs, digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    runs.model = own_copy(runs, bundle_path, "model")
    # The shipped model has no SavedModel.
    challenger = SHIPPED_MODEL if engine == "litert" else bundle_path
    runs.options = {"challenger": own_copy(runs, challenger, "challenger"), "engine": engine}
    with worker_pool(tmp_path / "pool", hidden=[tmp_path / "launcher"]) as pool:
        assert runs.run(digit_folder, *pool.flags) == 0
    assert not (tmp_path / "out" / MODELS).exists()
    runs.check(runs.direct(digit_folder))


@pytest.mark.usefixtures("own_mounts")
def test_the_shipped_model_reaches_workers_that_lack_it(
    runs: Runs, digit_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    runs.model = SHIPPED_MODEL
    with worker_pool(tmp_path / "pool", hidden=[SHIPPED_MODEL]) as pool:
        assert runs.run(digit_folder, *pool.flags) == 0
    runs.check(runs.direct(digit_folder))


@pytest.fixture
def digits_in_bucket(runs: Runs, bucket: Bucket, proxy: Proxy, digit_folder: pathlib.Path) -> str:
    return runs.upload(digit_folder, bucket, proxy)


def goes_on(runs: Runs, place: str, *flags: str) -> None:
    assert runs.run(place, "--resume", *flags) == 0
    runs.check(runs.direct(place))


def test_a_killed_worker_is_reported_and_the_run_resumes(
    runs: Runs, digits_in_bucket: str, bucket: Bucket, proxy: Proxy, tmp_path: pathlib.Path
) -> None:
    killed: list[int] = []
    with worker_pool(tmp_path / "pool", environment=runs.environment) as pool:
        when_half_is_read(bucket, proxy, lambda: killed.append(pool.kill_workers()))
        assert runs.run(digits_in_bucket, *pool.flags) == 1
        assert killed == [1]
        assert left_behind(runs) == []
        line = runs.last_line()
        assert "the runner gave up: " in line
        assert "of 10 work items are not done, the first of them " in line
        assert f"which starts with '{bucket.uri}/digits/" in line
        assert "To resume: digitmill score" in line
        assert "--resume" in line
        goes_on(runs, digits_in_bucket, *pool.flags)


def test_a_killed_job_server_is_reported_and_the_run_resumes(
    runs: Runs, digits_in_bucket: str, bucket: Bucket, proxy: Proxy
) -> None:
    launched: list[BaseProcess] = []

    def kill_prism() -> None:
        for child in psutil.Process(launched[0].pid).children(recursive=True):
            if pathlib.Path(child.exe()).name == "prism":
                child.kill()

    with proxy.lock:  # no request passes before the launcher is known
        when_half_is_read(bucket, proxy, kill_prism)
        launched.append(runs.start(digits_in_bucket))
    launched[0].join(JOIN_SECONDS)
    assert launched[0].exitcode == 1
    assert "lost the job server: UNAVAILABLE" in runs.last_line()
    goes_on(runs, digits_in_bucket)


@pytest.mark.parametrize("silent", ["workers", "job server"])
def test_a_run_that_stands_still_is_stopped_and_resumes(
    silent: str, runs: Runs, digits_in_bucket: str, bucket: Bucket, proxy: Proxy, tmp_path: pathlib.Path
) -> None:
    launched: list[BaseProcess] = []

    def stop() -> None:
        workers = pool.workers()
        prism = [
            child
            for child in psutil.Process(launched[0].pid).children(recursive=True)
            if pathlib.Path(child.exe()).name == "prism"
        ]
        for process in workers if silent == "workers" else prism:
            process.suspend()

    with worker_pool(tmp_path / "pool", environment=runs.environment) as pool:
        with proxy.lock:  # no request passes before the launcher is known
            when_half_is_read(bucket, proxy, stop)
            launched.append(runs.start(digits_in_bucket, "--stall-timeout", "0.5", *pool.flags))
        launched[0].join(JOIN_SECONDS)
        assert launched[0].exitcode == 1
        line = runs.last_line()
        assert "the runner has made no progress for " in line
        assert (
            f"the runner is PrismRunner; the worker pool at localhost:{pool.port} takes connections" in line
        )
        assert "To resume: digitmill score" in line
        assert left_behind(runs) == []
    runs.signs = ()  # workers may have scored all that they had, so that nothing is left to do
    with worker_pool(tmp_path / "other", environment=runs.environment) as pool:
        goes_on(runs, digits_in_bucket, *pool.flags)


def test_an_interrupted_run_prints_the_resume_command(
    runs: Runs, digits_in_bucket: str, bucket: Bucket, proxy: Proxy
) -> None:
    launched: list[BaseProcess] = []
    with proxy.lock:
        when_half_is_read(bucket, proxy, lambda: os.kill(launched[0].pid or 0, signal.SIGTERM))
        launched.append(runs.start(digits_in_bucket))
    launched[0].join(JOIN_SECONDS)
    assert launched[0].exitcode == 1
    assert "digitmill: stopped by a signal. Finished work is kept" in runs.last_line()
    assert left_behind(runs) == []
    goes_on(runs, digits_in_bucket)


def test_workers_without_digitmill_are_reported(
    runs: Runs, digit_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    # Without `site` the project, which is installed by a .pth file, is not there; Beam is.
    libraries = {"PYTHONPATH": sysconfig.get_path("purelib")}
    with worker_pool(tmp_path / "pool", environment=libraries, python=f"{sys.executable} -S") as pool:
        assert runs.run(digit_folder, *pool.flags) == 1
    assert "digitmill is not installed on the workers: install this version of it" in runs.last_line()


def test_a_full_disk_of_a_worker_is_reported(
    runs: Runs, digit_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    # No file may become larger than 4 KB: what writing to a full disk or over a quota looks like.
    # Their log is not on it: a worker that cannot say what is wrong hangs, and with it the run.
    shell = 'exec > >(cat) 2>&1; trap "" XFSZ; ulimit -f 4'
    with worker_pool(tmp_path / "pool", shell=shell) as pool:
        assert runs.run(digit_folder, *pool.flags) == 1
    line = runs.last_line()
    assert "cannot read or write the output" in line
    assert "File too large" in line
    assert runs.run(digit_folder, "--resume") == 0
    runs.check(runs.direct(digit_folder))


def test_a_port_in_use_leaves_no_output(runs: Runs, digit_folder: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        command = ["score", "--input", digit_folder, "--model", runs.model, "--output", runs.folder / "out"]
        done = subprocess.run(
            [sys.executable, "-m", "digitmill", *map(str, command), *runs.flags, f"--job_port={port}"],
            capture_output=True,
            text=True,
            timeout=JOIN_SECONDS,
            check=False,
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"cannot use the port of --job_port (in use): {port}" in line
    assert not (runs.folder / "out").exists()
