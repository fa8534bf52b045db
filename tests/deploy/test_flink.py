"""What the files of the Flink deployment must say alike."""

import pathlib

import pytest
import yaml
from apache_beam.options.pipeline_options import FlinkRunnerOptions

from tests import job_servers
from tests.flink import flink_cluster

FOLDER = pathlib.Path(__file__).parents[2] / "deploy/flink"
POOL = "50000"


@pytest.fixture(scope="module")
def spec() -> dict:
    return yaml.safe_load((FOLDER / "FlinkDeployment.yaml").read_text())["spec"]


def test_it_is_the_version_that_the_tests_run_on_and_that_beam_has_a_runner_for(spec: dict) -> None:
    version = spec["flinkVersion"].removeprefix("v").replace("_", ".")
    assert version in FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS
    assert spec["image"] == f"flink:{flink_cluster.VERSION}-java17"
    assert f"<artifactId>beam-runners-flink-{version}</artifactId>" in job_servers.RECIPE.read_text()
    assert f"--flink_version={version}" in (FOLDER / "README.md").read_text()


def test_lost_workers_do_not_end_a_batch_job(spec: dict) -> None:
    configuration = spec["flinkConfiguration"]
    assert configuration["restart-strategy.type"] == "fixed-delay"
    assert yaml.safe_load((FOLDER / "config.yaml").read_text()) == configuration


def test_the_pool_listens_where_the_launcher_says(spec: dict) -> None:
    main, pool = spec["taskManager"]["podTemplate"]["spec"]["containers"]
    assert main == {"name": "flink-main-container"}
    assert pool["ports"] == [{"containerPort": int(POOL)}]
    assert pool["readinessProbe"] == {"tcpSocket": {"port": int(POOL)}}
    assert f"--service_port={POOL}" in (FOLDER / "worker.Dockerfile").read_text()
    assert f"--environment_config=localhost:{POOL}" in (FOLDER / "README.md").read_text()
