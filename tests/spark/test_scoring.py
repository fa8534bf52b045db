"""Scoring on Spark in local mode: the same run as in the launcher's own process."""

import pathlib
from collections.abc import Iterator

import pytest

from tests import job_servers
from tests.beam_engines import Runs, WorkerPool, when_half_is_read, worker_pool
from tests.gcs_emulator import Bucket, Proxy

pytestmark = pytest.mark.spark


@pytest.fixture(scope="session")
def job_server() -> pathlib.Path:
    """Beam's job server; nobody asks for these tests who can do without it, so nothing is skipped."""
    try:
        return job_servers.job_server(":runners:spark:3:job-server:shadowJar", profile="spark")
    except (OSError, RuntimeError) as error:
        pytest.fail(f"Beam's job server for Spark cannot be had: {error}")


@pytest.fixture
def runs(job_server: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path) -> Runs:
    flags = ["--runner=SparkRunner", f"--spark_job_server_jar={job_server}", "--spark_master_url=local[2]"]
    return Runs(bundle_path, tmp_path, flags=flags, signs=(str(job_server),))


@pytest.fixture
def pool(runs: Runs, tmp_path: pathlib.Path, proxy: Proxy) -> Iterator[WorkerPool]:
    runs.environment["STORAGE_EMULATOR_HOST"] = f"http://127.0.0.1:{proxy.port}"
    with worker_pool(tmp_path / "pool", environment=runs.environment) as started:
        yield started


def test_workers_in_the_launcher(runs: Runs, digit_folder: pathlib.Path) -> None:
    assert runs.run(digit_folder) == 0
    runs.check(runs.direct(digit_folder))


def test_a_worker_that_is_killed_is_said_and_nothing_is_lost_or_doubled(
    runs: Runs, pool: WorkerPool, bucket: Bucket, proxy: Proxy, digit_folder: pathlib.Path
) -> None:
    place = runs.upload(digit_folder, bucket, proxy)
    when_half_is_read(bucket, proxy, pool.kill_workers)
    assert runs.run(place, *pool.flags) == 1
    line = runs.last_line()
    assert "of 10 work items are not done, the first of them " in line
    assert "this goes on with it: digitmill score" in line
    assert runs.run(place, "--resume", *pool.flags) == 0
    runs.check(runs.direct(place))
