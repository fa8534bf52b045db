import socket
from collections.abc import Callable

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.runners.runner_state import runner_state


def state(*flags: str) -> str:
    describe = runner_state(PipelineOptions(list(flags)))
    assert describe is not None
    return describe()


@pytest.fixture
def closed() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_launcher_s_own_process_is_no_runner() -> None:
    assert runner_state(PipelineOptions(["--runner=FnApiRunner"])) is None


def test_job_server_and_worker_pool_answer_or_not(closed: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = f"localhost:{server.getsockname()[1]}"
        pool = ("--environment_type=EXTERNAL", f"--environment_config=localhost:{closed}")
        found = state("--runner=SparkRunner", f"--job_endpoint={here}", *pool)
    assert found == (
        f"the runner is SparkRunner; the job server at {here} takes connections; "
        f"the worker pool at localhost:{closed} takes no connections"
    )


def test_a_flink_cluster_is_asked_for_its_slots(rest_stand_in: Callable, closed: int) -> None:
    def overview(asked: object) -> tuple[int, dict]:
        return 200, {"taskmanagers": 2, "slots-available": 0, "slots-total": 4}

    address = f"localhost:{rest_stand_in(overview).server_address[1]}"
    found = state("--runner=FlinkRunner", f"--flink_master={address}")
    assert found.endswith(
        f"the Flink job manager at http://{address} has 2 task managers and 0 of 4 slots free"
    )
    silent = state("--runner=FlinkRunner", f"--flink_master=localhost:{closed}")
    assert silent.endswith(f"the Flink job manager at http://localhost:{closed} does not answer")
