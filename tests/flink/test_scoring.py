"""Scoring on Flink: the same run as in the launcher's own process, whatever dies on the way."""

import os
import pathlib
import shutil
import signal
import sys
import sysconfig
import threading
from collections.abc import Iterator
from multiprocessing.process import BaseProcess

import cv2
import pytest

from digitmill.default_model import SHIPPED_MODEL
from tests.beam_engines import JOIN_SECONDS, Runs, WorkerPool, when_half_is_read, worker_pool
from tests.flink.flink_cluster import MINOR, Cluster
from tests.gcs_emulator import Bucket, Proxy
from trainer.data.sources import embedded_sample

pytestmark = pytest.mark.flink

IMAGES = 10_000


@pytest.fixture
def runs(
    two_task_managers: Cluster, job_server: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> Runs:
    flags = [
        "--runner=FlinkRunner",
        f"--flink_master={two_task_managers.master}",
        f"--flink_version={MINOR}",
        f"--flink_job_server_jar={job_server}",
        "--parallelism=2",
    ]
    return Runs(bundle_path, tmp_path, flags=flags, signs=())


@pytest.fixture
def pool(runs: Runs, tmp_path: pathlib.Path, proxy: Proxy) -> Iterator[WorkerPool]:
    runs.environment["STORAGE_EMULATOR_HOST"] = f"http://127.0.0.1:{proxy.port}"
    with worker_pool(tmp_path / "pool", environment=runs.environment) as started:
        yield started


@pytest.fixture
def digits_in_bucket(runs: Runs, bucket: Bucket, proxy: Proxy, digit_folder: pathlib.Path) -> str:
    return runs.upload(digit_folder, bucket, proxy)


def jobs(cluster: Cluster, state: str) -> int:
    """How many of the cluster's jobs have ended so: finished, failed or cancelled."""
    return cluster.get("overview")[f"jobs-{state}"]


def run_on(cluster: Cluster, runs: Runs, place: object, *flags: str) -> None:
    """Run to a good end, which is one of the cluster's jobs."""
    before = jobs(cluster, "finished")
    assert runs.run(place, *flags) == 0
    assert jobs(cluster, "finished") == before + 1


def gives_up_on(cluster: Cluster, runs: Runs, place: object, *flags: str) -> str:
    """Run until Flink gives up; return the line that says why."""
    before = jobs(cluster, "failed")
    assert runs.run(place, *flags) == 1
    assert jobs(cluster, "failed") == before + 1
    line = runs.last_line()
    assert "To resume: digitmill score" in line
    return line


def test_ten_thousand_images_are_scored_the_same(
    runs: Runs, pool: WorkerPool, cluster: Cluster, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "digits"
    folder.mkdir()
    digits = embedded_sample.digits().train.images
    for number in range(IMAGES):
        cv2.imwrite(str(folder / f"{number:05d}.png"), digits[number % len(digits)])
    runs.rows = 1000
    run_on(cluster, runs, folder, *pool.flags)
    expected = runs.direct(folder)
    assert f'"scored":{IMAGES}' in expected["manifest"].decode().replace(" ", "")
    runs.check(expected)


@pytest.mark.usefixtures("own_mounts")
def test_models_reach_workers_that_lack_the_launchers_files(
    runs: Runs,
    cluster: Cluster,
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    for name, bundle in {"model": bundle_path, "challenger": SHIPPED_MODEL}.items():
        shutil.copytree(bundle, tmp_path / "launcher" / name)
    runs.model = tmp_path / "launcher" / "model"
    runs.options["challenger"] = tmp_path / "launcher" / "challenger"
    with worker_pool(tmp_path / "pool", hidden=[tmp_path / "launcher"]) as pool:
        run_on(cluster, runs, digit_folder, *pool.flags)
    runs.check(runs.direct(digit_folder))


def test_items_spread_over_all_slots(
    runs: Runs, cluster: Cluster, pool: WorkerPool, digit_folder: pathlib.Path
) -> None:
    run_on(cluster, runs, digit_folder, "--parallelism=4", *pool.flags)
    items = cluster.records_of_slots("ScoreImages/Score")
    assert sum(items) == len(list(digit_folder.rglob("*.png"))) / runs.rows == 25
    assert len(items) == 4
    assert min(items) >= 5


def test_a_task_manager_is_killed_and_the_job_ends_well(
    runs: Runs, pool: WorkerPool, cluster: Cluster, bucket: Bucket, proxy: Proxy, digits_in_bucket: str
) -> None:
    busy = cluster.task_managers[-1]
    when_half_is_read(bucket, proxy, busy.kill)
    run_on(cluster, runs, digits_in_bucket, *pool.flags)
    assert busy.wait() != 0
    runs.check(runs.direct(digits_in_bucket))


def test_a_python_worker_is_killed_and_the_job_ends_well(
    runs: Runs, pool: WorkerPool, cluster: Cluster, bucket: Bucket, proxy: Proxy, digits_in_bucket: str
) -> None:
    killed: list[int] = []
    when_half_is_read(bucket, proxy, lambda: killed.append(pool.kill_workers()))
    run_on(cluster, runs, digits_in_bucket, *pool.flags)
    assert killed
    assert killed[0] > 0
    runs.check(runs.direct(digits_in_bucket))


def test_workers_that_die_each_time_end_the_run_and_it_is_gone_on_with(
    runs: Runs, pool: WorkerPool, cluster: Cluster, bucket: Bucket, proxy: Proxy, digits_in_bucket: str
) -> None:
    # As under a memory limit that one work item is too much for.
    deadly = sorted(bucket.names())[100]
    proxy.lasting[deadly] = pool.kill_workers
    line = gives_up_on(cluster, runs, digits_in_bucket, *pool.flags)
    assert "the runner gave up: a worker died at each attempt" in line
    assert "of 10 work items are not done, the first of them " in line
    del proxy.lasting[deadly]
    run_on(cluster, runs, digits_in_bucket, "--resume", *pool.flags)
    runs.check(runs.direct(digits_in_bucket))


def test_workers_without_digitmill_are_said(
    runs: Runs, cluster: Cluster, digit_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    # Without `site` the project, which is installed by a .pth file, is not there; Beam is.
    libraries = {"PYTHONPATH": sysconfig.get_path("purelib")}
    with worker_pool(tmp_path / "pool", environment=libraries, python=f"{sys.executable} -S") as pool:
        line = gives_up_on(cluster, runs, digit_folder, *pool.flags)
    assert "digitmill is not installed on the workers: install this version of it" in line


def test_a_disk_of_the_workers_that_is_full_is_said(
    runs: Runs, cluster: Cluster, pool: WorkerPool, digit_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    shell = 'exec > >(cat) 2>&1; trap "" XFSZ; ulimit -f 4'
    with worker_pool(tmp_path / "small", shell=shell) as small:
        line = gives_up_on(cluster, runs, digit_folder, *small.flags)
    assert "cannot read or write the output" in line
    assert "File too large" in line
    run_on(cluster, runs, digit_folder, "--resume", *pool.flags)
    runs.check(runs.direct(digit_folder))


@pytest.mark.parametrize("way", [(), ("--flink_submit_uber_jar",)], ids=["job server", "one jar"])
def test_told_to_stop_the_launcher_takes_the_job_back(
    way: tuple[str, ...],
    runs: Runs,
    pool: WorkerPool,
    cluster: Cluster,
    bucket: Bucket,
    proxy: Proxy,
    digits_in_bucket: str,
) -> None:
    launched: list[BaseProcess] = []
    before = jobs(cluster, "cancelled")
    cancelled = threading.Event()

    def stop() -> None:
        os.kill(launched[0].pid or 0, signal.SIGTERM)
        cancelled.wait(JOIN_SECONDS)  # or the job would be through before it is cancelled

    with proxy.lock:  # no request passes before the launcher is known
        when_half_is_read(bucket, proxy, stop)
        launched.append(runs.start(digits_in_bucket, *way, *pool.flags))
    launched[0].join(JOIN_SECONDS)
    assert launched[0].exitcode == 1
    assert "digitmill: stopped by a signal. Finished work is kept" in runs.last_line()
    cluster.wait_for("jobs-cancelled", before + 1)
    cancelled.set()
    run_on(cluster, runs, digits_in_bucket, "--resume", *way, *pool.flags)
    runs.check(runs.direct(digits_in_bucket))
