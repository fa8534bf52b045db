import argparse
import contextlib

import click
import pytest
from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

from digitmill import cli
from pipelines.runners.flag_names import check_flag_names, names_in_beam
from schemas.errors import UserError


def flags_of_beam() -> set[str]:
    parser = _BeamArgumentParser(allow_abbrev=False, add_help=False)
    for group in dict.fromkeys(PipelineOptions.__subclasses__()):
        with contextlib.suppress(argparse.ArgumentError):
            group._add_argparse_args(parser)
    return {flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")}


def test_no_flag_of_beam_is_refused() -> None:
    real = flags_of_beam()
    assert len(real) > 100
    assert real <= set(names_in_beam())
    for flag in sorted(real):
        check_flag_names([flag, "value", f"{flag}=value"])


@pytest.mark.parametrize(
    ("flags", "hint"),
    [
        (["--runer=DirectRunner"], "Did you mean --runner"),
        (["--job_name", "x", "--qqqqqqqq"], "See --help"),
        (["--to", "x"], "See --help"),
        (["stray.png"], "Put inputs before the flags of Beam"),
    ],
)
def test_what_is_no_flag_is(flags: list[str], hint: str) -> None:
    with pytest.raises(UserError, match=hint):
        check_flag_names(flags)


def test_a_flag_of_dataflow_that_is_a_slip_elsewhere_is_refused() -> None:
    with click.Context(cli.digitmill.get_command(click.Context(cli.digitmill), "score")):
        with pytest.raises(UserError, match="Did you mean --labels"):
            check_flag_names(["--label", "folder"])
        check_flag_names(["--runner=DataflowRunner", "--label", "team=forms"])


def test_values_of_flags_are_no_flags() -> None:
    check_flag_names(["--job_name", "x", "--num_workers", "-1", "stray"])
