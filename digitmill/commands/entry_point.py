"""Runs a command as the process's own: words its errors and sets the exit code."""

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import click

from digitmill.commands.answers import is_json_asked
from digitmill.commands.command_line import command_line
from digitmill.default_model import SHIPPED_MODEL
from schemas.errors import (
    ActionableError,
    ExitCode,
    JobFailedError,
    StoppedError,
    StorageError,
    UnreconciledError,
    UserError,
)

DEFAULTS: Final = {"score": {"model": SHIPPED_MODEL}, "evaluate": {"model": SHIPPED_MODEL}}
"""Defaults of flags by verb: without `--model` it is the model that comes with digitmill."""


def main(command: click.Command, arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs `digitmill`, or one of its verbs by itself, and exits with its `ExitCode`.

    A verb that was started by its module's name, such as `python -m pipelines.score`, takes the same flags
    and words its errors and its help as under `digitmill score`.

    Args:
        command: the group of all verbs, or one verb.
        arguments: its arguments; those of the process when None.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    if not isinstance(command, click.Group):
        given = [str(command.name), *given]
        command = click.Group("digitmill", commands=[command], context_settings={"default_map": DEFAULTS})
    # None leaves it to click, which colours what goes to a terminal.
    color = False if os.environ.get("NO_COLOR") else None
    try:
        code = command.main(given, prog_name="digitmill", standalone_mode=False, color=color)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True, color=color)
        code = ExitCode.USAGE
    except _WORDED as error:
        text, code = " ".join(_text_of(error, given).split()), _code_of(error)
        print(f"digitmill: {text}", file=sys.stderr)
        if is_json_asked(given):
            print(json.dumps({"error": _error_as_data(error, text, code)}, indent=2))
        if isinstance(error, StoppedError):
            _leave(code)
    sys.exit(code or ExitCode.OK)


_WORDED: Final = (
    click.ClickException,
    click.Abort,
    JobFailedError,
    StoppedError,
    StorageError,
    UnreconciledError,
    UserError,
)


def _code_of(error: Exception) -> int:
    match error:
        case click.ClickException() | UserError():
            return ExitCode.USAGE
        case UnreconciledError():
            return ExitCode.UNRECONCILED
        case JobFailedError():
            return error.code
        case _:
            return ExitCode.CRASHED


def _text_of(error: Exception, given: Sequence[str]) -> str:
    match error:
        case click.UsageError():
            message = error.format_message()
            # Some of click's sentences end in what they are about.
            full_stop = "" if message.endswith((".", "?", "?)")) else "."
            return f"{message}{full_stop} See `{_command_path(error)} --help`."
        case click.ClickException():
            return error.format_message()
        case click.Abort() if given:
            # A verb that keeps what is done says so by a StoppedError of its own.
            return f"interrupted; this begins again: {command_line(*given)}"
        case click.Abort():
            return "interrupted"
        case _:
            return str(error)


def _error_as_data(error: Exception, text: str, code: int) -> dict[str, object]:
    """Returns in JSON's types why a verb has no answer."""
    said: dict[str, object] = {"message": text, "exit_code": int(code)}
    if isinstance(error, ActionableError):
        said |= {"rule": error.problem, "got": str(error.got), "remedy": error.remedy}
    return said


def _leave(code: int) -> NoReturn:
    """Ends the process now: threads of a run that was stopped would go on with all that is left of it.

    With it end the processes that it started: nothing would tell a job server any more.
    """
    import psutil

    sys.stdout.flush()
    sys.stderr.flush()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(code)


def _command_path(error: click.UsageError) -> str:
    return error.ctx.command_path if error.ctx is not None else "digitmill"
