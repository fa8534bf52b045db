"""Fixtures that cost minutes: a cluster for all tests of the folder, and Beam's job server."""

import pathlib
import shutil
from collections.abc import Iterator

import pytest

from tests.flink import flink_cluster
from tests.flink.flink_cluster import Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A job manager and two task managers."""
    if shutil.which("java") is None:
        pytest.fail("Flink runs on Java: install Java 11 or 17")
    with flink_cluster.running_cluster(tmp_path_factory.mktemp("flink"), task_managers=2) as running:
        yield running


@pytest.fixture
def two_task_managers(cluster: Cluster) -> Cluster:
    """The cluster with two task managers again, whatever befell them before."""
    alive = sum(process.poll() is None for process in cluster.task_managers)
    for _ in range(2 - alive):
        cluster.add_task_manager()
    cluster.wait_for_task_managers(2)
    return cluster


@pytest.fixture(scope="session")
def job_server() -> pathlib.Path:
    """Beam's job server; nobody asks for these tests who can do without it, so nothing is skipped."""
    try:
        return flink_cluster.job_server()
    except (OSError, RuntimeError) as error:
        pytest.fail(f"Beam's job server for Flink cannot be had: {error}")
