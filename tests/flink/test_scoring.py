"""Scoring on Flink: the same run as in the launcher's own process, whatever dies on the way."""

import pathlib
from collections.abc import Iterator

import cv2
import pytest

from tests.beam_engines import Runs, WorkerPool, when_half_is_read, worker_pool
from tests.flink.flink_cluster import MINOR, Cluster
from tests.gcs_emulator import Bucket, Proxy
from trainer.data import sample

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


def finished(cluster: Cluster) -> int:
    return cluster.get("overview")["jobs-finished"]


def test_ten_thousand_images_are_scored_the_same(
    runs: Runs, pool: WorkerPool, cluster: Cluster, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "digits"
    folder.mkdir()
    digits = sample.digits().train.images
    for number in range(IMAGES):
        cv2.imwrite(str(folder / f"{number:05d}.png"), digits[number % len(digits)])
    runs.rows = 1000
    before = finished(cluster)
    assert runs.run(folder, *pool.flags) == 0
    assert finished(cluster) == before + 1
    expected = runs.direct(folder)
    assert f'"scored":{IMAGES}' in expected["manifest"].decode().replace(" ", "")
    runs.check(expected)


def test_a_task_manager_is_killed_and_the_job_ends_well(
    runs: Runs,
    pool: WorkerPool,
    cluster: Cluster,
    bucket: Bucket,
    proxy: Proxy,
    digit_folder: pathlib.Path,
) -> None:
    place = runs.upload(digit_folder, bucket, proxy)
    busy = cluster.task_managers[-1]
    when_half_is_read(bucket, proxy, busy.kill)
    assert runs.run(place, *pool.flags) == 0
    assert busy.wait() != 0
    runs.check(runs.direct(place))


def test_a_python_worker_is_killed_and_the_job_ends_well(
    runs: Runs, pool: WorkerPool, bucket: Bucket, proxy: Proxy, digit_folder: pathlib.Path
) -> None:
    place = runs.upload(digit_folder, bucket, proxy)
    killed: list[int] = []
    when_half_is_read(bucket, proxy, lambda: killed.append(pool.kill_workers()))
    assert runs.run(place, *pool.flags) == 0
    assert killed
    assert killed[0] > 0
    runs.check(runs.direct(place))
