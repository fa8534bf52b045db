"""Describes whether a runner and its workers respond, for a run that makes no progress."""

import contextlib
import socket
from collections.abc import Callable

from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions, StandardOptions

from pipelines.runners.beam_options import in_process
from pipelines.runners.flink_workers import ANSWER_SECONDS, flink_master, read_slots


def runner_state(options: PipelineOptions) -> Callable[[], str] | None:
    """Return a function that describes which parts of a runner respond; None for a runner in this process."""
    if in_process(options):
        return None
    portable, name = options.view_as(PortableOptions), str(options.view_as(StandardOptions).runner)
    # Read before the run: Beam overwrites addresses.
    master = flink_master(options)
    external = (portable.environment_type or "").upper() == "EXTERNAL"
    places = {
        "job server": portable.job_endpoint,
        "worker pool": portable.environment_config if external else None,
    }

    def describe() -> str:
        known = [] if master is None else [_describe_flink(master)]
        known += [f"the {what} at {place} {_answers(place)}" for what, place in places.items() if place]
        return "; ".join([f"the runner is {name}", *known])

    return describe


def _describe_flink(master: str) -> str:
    slots = read_slots(master)
    if slots is None:
        return f"the Flink job manager at {master} does not answer"
    found = f"{slots.task_managers} task managers and {slots.free} of {slots.total} slots free"
    return f"the Flink job manager at {master} has {found}"


def _answers(address: str) -> str:
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError, ValueError, OverflowError):
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
        return "takes connections"
    return "takes no connections"
