"""Scoring on Spark in local mode: the same run as in the launcher's own process."""

import os
import pathlib
import signal
from collections.abc import Iterator
from multiprocessing.process import BaseProcess

import pytest

from tests import job_servers
from tests.beam_engines import JOIN_SECONDS, Runs, WorkerPool, when_half_is_read, worker_pool
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


def test_told_to_stop_it_is_gone_on_with(
    runs: Runs, pool: WorkerPool, bucket: Bucket, proxy: Proxy, digit_folder: pathlib.Path
) -> None:
    place = runs.upload(digit_folder, bucket, proxy)
    launched: list[BaseProcess] = []
    with proxy.lock:  # no request passes before the launcher is known
        when_half_is_read(bucket, proxy, lambda: os.kill(launched[0].pid or 0, signal.SIGTERM))
        launched.append(runs.start(place, *pool.flags))
    launched[0].join(JOIN_SECONDS)
    assert launched[0].exitcode == 1
    assert "digitmill: stopped by a signal. Finished work is kept" in runs.last_line()
    assert runs.run(place, "--resume", *pool.flags) == 0
    runs.check(runs.direct(place))
