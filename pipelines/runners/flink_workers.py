"""Gives each task slot of a Flink cluster its own worker process."""

from typing import Final, NamedTuple

from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
)

ANSWER_SECONDS: Final = 5.0
"""Timeout of requests, in seconds."""


class FlinkSlots(NamedTuple):
    """The task slots of a Flink cluster."""

    task_managers: int
    free: int
    total: int


def flink_master(options: PipelineOptions) -> str | None:
    """Return the address of an external Flink job manager; None for other runners and embedded Flink."""
    # Beam takes the name in any case, and with its module.
    name = str(options.view_as(StandardOptions).runner).rpartition(".")[2]
    if name.lower() != "flinkrunner":
        return None
    from apache_beam.runners.portability.flink_runner import MAGIC_HOST_NAMES, FlinkRunner

    master = options.view_as(FlinkRunnerOptions).flink_master
    return None if master in MAGIC_HOST_NAMES else FlinkRunner.add_http_scheme(master)


def read_slots(master: str) -> FlinkSlots | None:
    """Ask a job manager for its slots; None if it does not answer."""
    import requests

    try:
        found = requests.get(f"{master}/v1/overview", timeout=ANSWER_SECONDS).json()
        return FlinkSlots(*(int(found[key]) for key in ("taskmanagers", "slots-available", "slots-total")))
    except (requests.RequestException, ValueError, KeyError, TypeError):
        return None


def complete_flink(options: PipelineOptions) -> None:
    """Start as many worker processes per task manager as it has slots, unless the flags set the number.

    By default Beam starts one, so that all slots share its GIL and hardly score faster than one.
    """
    master = flink_master(options)
    given = "sdk_worker_parallelism" in options.get_all_options(drop_default=True)
    slots = read_slots(master) if master is not None and not given else None
    if slots is not None and slots.task_managers > 0:
        each = -(-slots.total // slots.task_managers)
        options.view_as(PortableOptions).sdk_worker_parallelism = each
