"""Describes whether a runner and its workers answer the launcher, for a run that makes no progress."""

import contextlib
import socket
from collections.abc import Callable
from typing import Final

import requests
from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
)
from apache_beam.runners.portability.flink_runner import MAGIC_HOST_NAMES, FlinkRunner

from pipelines.runners.beam_options import in_process

_SECONDS: Final = 5.0
"""Timeout of a question, in seconds."""


def runner_state(options: PipelineOptions) -> Callable[[], str] | None:
    """Return a function that describes what of a pipeline's runner answers; None if it is this process."""
    if in_process(options):
        return None
    portable, name = options.view_as(PortableOptions), str(options.view_as(StandardOptions).runner)
    # Read before the run: Beam overwrites addresses.
    master = options.view_as(FlinkRunnerOptions).flink_master if name == FlinkRunner.__name__ else None
    external = (portable.environment_type or "").upper() == "EXTERNAL"
    places = {
        "job server": portable.job_endpoint,
        "worker pool": portable.environment_config if external else None,
    }

    def describe() -> str:
        known = [] if master is None or master in MAGIC_HOST_NAMES else [_describe_flink(master)]
        known += [f"the {what} at {place} {_answers(place)}" for what, place in places.items() if place]
        return "; ".join([f"the runner is {name}", *known])

    return describe


def _describe_flink(master: str) -> str:
    try:
        answer = requests.get(f"{FlinkRunner.add_http_scheme(master)}/v1/overview", timeout=_SECONDS)
        found = answer.json()
        managers, free, slots = (found[key] for key in ("taskmanagers", "slots-available", "slots-total"))
    except (requests.RequestException, ValueError, KeyError, TypeError):
        return f"the Flink job manager at {master} does not answer"
    return f"the Flink job manager at {master} has {managers} task managers and {free} of {slots} slots free"


def _answers(address: str) -> str:
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError, ValueError, OverflowError):
        socket.create_connection((host, int(port)), timeout=_SECONDS).close()
        return "takes connections"
    return "takes no connections"
