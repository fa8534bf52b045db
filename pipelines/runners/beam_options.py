"""Beam's own flags on the command line: understood all, and none that is misspelt let through."""

import argparse
import contextlib
import difflib
import io
from collections.abc import Sequence

from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    StandardOptions,
    _BeamArgumentParser,
)
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.runners.portability.portable_runner import PortableRunner
from apache_beam.runners.runner import create_runner

from pipelines.runners.portable_checks import check_portable
from schemas.errors import UserError

IN_PROCESS = "FnApiRunner"
"""The engine that `DirectRunner` stands for. Left to itself, DirectRunner takes Prism where it can get
it and this one where it cannot, and says so only in its log."""


def beam_options(flags: Sequence[str], *, verb: str, own: Sequence[str]) -> PipelineOptions:
    """Returns the options of a pipeline.

    Args:
        flags: what the command line holds beside the job's own flags.
        verb: the job's verb, for complaints.
        own: the job's own flags, for suggestions.

    Raises:
        UserError: for a flag that Beam does not know or a value that it does not take, and for a runner
            whose job server, cluster or workers are not there.
    """
    _check(flags, verb=verb, own=own)
    options = PipelineOptions(list(flags))
    standard = options.view_as(StandardOptions)
    if standard.runner in (None, "DirectRunner"):
        standard.runner = IN_PROCESS
    _check_runner(standard.runner, options)
    return options


def in_process(options: PipelineOptions) -> bool:
    """Whether all of a pipeline runs in the launcher's own process."""
    mode = options.view_as(DirectOptions).direct_running_mode
    return options.view_as(StandardOptions).runner == IN_PROCESS and mode != "multi_processing"


def _check_runner(name: str, options: PipelineOptions) -> None:
    """Refuses now what Beam would refuse when the output has been begun."""
    try:
        runner = create_runner(name)
    except (ImportError, ValueError, AttributeError) as error:
        raise UserError("--runner names one of Beam's runners", got=name, remedy=str(error)) from error
    errors = PipelineOptionsValidator(options, runner).validate()
    workers = options.view_as(DirectOptions).direct_num_workers
    if workers is not None and workers < 0:
        errors.append("--direct_num_workers is 0 (all cores) or more")
    if errors:
        raise UserError("the runner has the options that it needs", got=name, remedy=" ".join(errors))
    if isinstance(runner, PortableRunner):
        check_portable(runner, options)


def _check(flags: Sequence[str], *, verb: str, own: Sequence[str]) -> None:
    parser = _BeamArgumentParser(allow_abbrev=False, add_help=False)
    for group in dict.fromkeys(PipelineOptions.__subclasses__()):
        # A group that another one's import has defined twice adds nothing the second time.
        with contextlib.suppress(argparse.ArgumentError):
            group._add_argparse_args(parser)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            _, unknown = parser.parse_known_args(list(flags))
    except SystemExit as error:
        message = complaint.getvalue().rpartition("error: ")[2]
        raise UserError(
            "Beam accepts its flags", got=" ".join(flags), remedy=f"mend it: {message}"
        ) from error
    if unknown and not unknown[0].startswith("-"):
        raise UserError(
            "every input follows an --input of its own",
            got=unknown[0],
            remedy="quote a pattern: --input '*.png'",
        )
    if unknown:
        known = [flag for action in parser._actions for flag in action.option_strings]
        close = difflib.get_close_matches(unknown[0].partition("=")[0], [*known, *own], n=2)
        remedy = f"did you mean {' or '.join(close)}?" if close else f"see `digitmill {verb} --help`"
        raise UserError(f"a flag belongs to digitmill {verb} or to Beam", got=unknown[0], remedy=remedy)
