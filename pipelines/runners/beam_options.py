"""Parses Beam's own flags on the command line, and rejects unknown ones."""

import argparse
import contextlib
import io
from collections.abc import Sequence

from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    StandardOptions,
    _BeamArgumentParser,
)
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.runners.runner import create_runner

from pipelines.runners import dataflow
from pipelines.runners.flag_names import unexpected
from pipelines.runners.flink_workers import complete_flink
from schemas.errors import UserError

IN_PROCESS = "FnApiRunner"
"""The engine used for `DirectRunner`, which by itself uses Prism if it can and this one otherwise, and only
logs which."""


def job_options(flags: Sequence[str], *, inputs: Sequence[str], output: str) -> PipelineOptions:
    """Return the options of a job's pipeline, completed so that its workers can reach inputs and output.

    Args:
        flags: flags of the command line that are not the verb's own.
        inputs: paths and URIs that the workers read.
        output: the run's folder.

    Raises:
        UserError: as in `beam_options`, and when the runner's workers could not reach inputs or output.
    """
    return beam_options(dataflow.complete_flags(flags, inputs=inputs, output=output))


def beam_options(flags: Sequence[str]) -> PipelineOptions:
    """Return the options of a pipeline from the flags that are not the verb's own.

    Raises:
        UserError: for an unknown flag, an invalid value, or a runner whose job server, cluster or workers
            cannot be reached.
    """
    if flags:
        _check(flags)
    options = PipelineOptions(list(flags))
    standard = options.view_as(StandardOptions)
    if standard.runner in (None, "DirectRunner"):
        standard.runner = IN_PROCESS
    if flags:  # the defaults need no check, which takes 0.1 s
        _check_runner(standard.runner, options)
        complete_flink(options)
    return options


def worker_processes(options: PipelineOptions) -> int:
    """Return the number of worker processes according to the runner's flags; 1 by default.

    A Dataflow worker runs a process per core, and its machine type ends in the number of cores.
    """
    given = options.get_all_options(drop_default=True)
    workers = max(int(given.get(name) or 0) for name in ("max_num_workers", "num_workers", "parallelism"))
    cores = str(given.get("machine_type", "")).rpartition("-")[2]
    return max(1, workers) * (max(1, int(cores)) if cores.isdecimal() else 1)


def in_process(options: PipelineOptions) -> bool:
    """Whether the whole pipeline runs in the launcher's process."""
    mode = options.view_as(DirectOptions).direct_running_mode
    return options.view_as(StandardOptions).runner == IN_PROCESS and mode != "multi_processing"


def runs_once_in_process(options: PipelineOptions) -> bool:
    """Whether the whole pipeline runs in the launcher's process, and each step once."""
    return in_process(options) and not options.view_as(DirectOptions).direct_runner_bundle_repeat


def in_main_thread(options: PipelineOptions) -> bool:
    """Whether all steps of a pipeline run in the thread that runs the pipeline, and each once."""
    direct = options.view_as(DirectOptions)
    # With two workers or more Beam starts threads for them, and by `multi_threading` for a single one.
    alone = direct.direct_running_mode == "in_memory" and direct.direct_num_workers == 1
    return runs_once_in_process(options) and alone


def _check_runner(name: str, options: PipelineOptions) -> None:
    """Check what Beam would only check after the output has begun."""
    try:
        runner = create_runner(name)
    except (ImportError, ValueError, AttributeError) as error:
        raise UserError(
            "unknown --runner", value=name, hint=f"give one of Beam's runners: {error}"
        ) from error
    errors = PipelineOptionsValidator(options, runner).validate()
    workers = options.view_as(DirectOptions).direct_num_workers
    if workers is not None and workers < 0:
        errors.append("--direct_num_workers must be 0 (all cores) or more")
    if errors:
        raise UserError(
            f"invalid options of the runner ({' '.join(errors)})", value=name, hint="correct them"
        )
    if name == IN_PROCESS:
        return
    from apache_beam.runners.portability.portable_runner import PortableRunner

    from pipelines.runners.portable_checks import check_portable

    if isinstance(runner, PortableRunner):
        check_portable(runner, options)


def _check(flags: Sequence[str]) -> None:
    parser = _BeamArgumentParser(allow_abbrev=False, add_help=False)
    for group in dict.fromkeys(PipelineOptions.__subclasses__()):
        # Some imports define a group twice; the second one adds nothing.
        with contextlib.suppress(argparse.ArgumentError):
            group._add_argparse_args(parser)
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr):
            _, unknown = parser.parse_known_args(list(flags))
    except SystemExit as error:
        message = stderr.getvalue().rpartition("error: ")[2]
        raise UserError(
            f"invalid Beam flags ({message.strip()})", value=" ".join(flags), hint="correct them"
        ) from error
    if unknown:
        raise unexpected(unknown[0], [flag for action in parser._actions for flag in action.option_strings])
