"""Beam's runners: checks before a pipeline starts, and handling of failures and stop signals.

Parses and completes pipeline options, checks job servers and clusters, and words the errors of runners. A job
on Dataflow continues when its launcher stops; a job on Flink is cancelled.
"""

__all__ = [
    "beam_options",
    "cancellation",
    "dataflow",
    "flag_names",
    "interruption",
    "local_beam",
    "runner_failure",
    "runner_state",
]
