"""A real Flink cluster, as far as the launcher looks at it before it hands a job over."""

import pathlib

import pytest

from pipelines.runners.beam_options import beam_options
from schemas.errors import UserError
from tests.flink.flink_cluster import MINOR, Cluster

pytestmark = pytest.mark.flink


def flags(cluster: Cluster, tmp_path: pathlib.Path, version: str) -> list[str]:
    jar = tmp_path / "job-server.jar"
    jar.touch()
    master = [
        f"--flink_master={cluster.master}",
        f"--flink_version={version}",
        f"--flink_job_server_jar={jar}",
    ]
    pool = ["--environment_type=EXTERNAL", "--environment_config=localhost:50000"]
    return ["--runner=FlinkRunner", f"--flink_job_server_jar={jar}", *master, *pool]


def test_a_cluster_of_the_named_version_is_taken(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    beam_options(flags(cluster, tmp_path, MINOR))


def test_a_cluster_of_another_version_is_refused(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match=f"Give --flink_version={MINOR}"):
        beam_options(flags(cluster, tmp_path, "2.2"))


def test_a_killed_task_manager_is_replaced(two_task_managers: Cluster) -> None:
    lost = two_task_managers.task_managers[-1]
    lost.kill()
    lost.wait()
    two_task_managers.wait_for_task_managers(1)
    two_task_managers.add_task_manager()
    two_task_managers.wait_for_task_managers(2)
