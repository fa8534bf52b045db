"""Beam's runners: what is checked before a pipeline starts, and what happens when one fails or is stopped.

Pipeline options are parsed and completed here, job servers and clusters are looked for, and errors of runners
are worded. A job on Dataflow is left to run; one on Flink is cancelled with its launcher.
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
