from collections.abc import Callable

import pytest
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions

from pipelines.runners.flink_workers import FlinkSlots, complete_flink, read_slots


@pytest.fixture
def cluster(rest_stand_in: Callable) -> Callable[[dict], str]:
    """A Flink job manager that gives an overview."""
    return lambda overview: f"http://localhost:{rest_stand_in(lambda _: (200, overview)).server_address[1]}"


def workers(*flags: str) -> int:
    options = PipelineOptions(list(flags))
    complete_flink(options)
    return int(options.view_as(PortableOptions).sdk_worker_parallelism)


def test_slots_are_read(cluster: Callable[[dict], str]) -> None:
    master = cluster({"taskmanagers": 2, "slots-available": 1, "slots-total": 4})
    assert read_slots(master) == FlinkSlots(task_managers=2, free=1, total=4)
    assert read_slots(cluster({"taskmanagers": 2})) is None
    assert read_slots("http://localhost:1") is None


@pytest.mark.parametrize(("task_managers", "slots", "expected"), [(2, 4, 2), (2, 3, 2), (1, 8, 8), (0, 0, 1)])
def test_each_slot_gets_a_worker_process(
    task_managers: int, slots: int, expected: int, cluster: Callable[[dict], str]
) -> None:
    master = cluster({"taskmanagers": task_managers, "slots-available": 0, "slots-total": slots})
    for runner in ("FlinkRunner", "flinkrunner", "apache_beam.runners.portability.flink_runner.FlinkRunner"):
        assert workers(f"--runner={runner}", f"--flink_master={master}") == expected


def test_a_number_that_is_given_stays(cluster: Callable[[dict], str]) -> None:
    master = cluster({"taskmanagers": 1, "slots-available": 0, "slots-total": 8})
    for given in (1, 3):
        flag = f"--sdk_worker_parallelism={given}"
        assert workers("--runner=FlinkRunner", f"--flink_master={master}", flag) == given


def test_other_runners_and_flinks_own_engine_are_left_alone(cluster: Callable[[dict], str]) -> None:
    master = cluster({"taskmanagers": 1, "slots-available": 0, "slots-total": 8})
    assert workers("--runner=SparkRunner", f"--flink_master={master}") == 1
    assert workers("--runner=FlinkRunner", "--flink_master=[local]") == 1
