"""Runs a command as the main program: prints errors as one line and sets the exit code."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Final, NoReturn

import click

from digitmill.commands import standard_streams
from digitmill.commands.answers import is_json_requested
from digitmill.commands.options import command_line
from digitmill.commands.run_config import hide_secrets
from digitmill.commands.stop_signals import stop_signals
from schemas.errors import (
    ActionableError,
    ExitCode,
    JobFailedError,
    StoppedError,
    StorageError,
    UnreconciledError,
    UserError,
    WorkerError,
)


def main(command: click.Command, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the group of all verbs, or a single verb, and exit with its `ExitCode`.

    A verb started as a module, such as `python -m pipelines.score`, takes the same flags and prints the same
    errors and help as `digitmill score`.
    """
    standard_streams.secure()
    given = sys.argv[1:] if arguments is None else list(arguments)
    if not isinstance(command, click.Group):
        given = [str(command.name), *given]
        command = click.Group("digitmill", commands=[command])
    # None leaves it to click, which colors what goes to a terminal.
    color = False if os.environ.get("NO_COLOR") else None
    try:
        with _interruptible():
            code = command.main(given, prog_name="digitmill", standalone_mode=False, color=color)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True, color=color)
        code = ExitCode.USAGE
    except _WORDED as error:
        text, code = " ".join(_text_of(error, given).split()), _code_of(error)
        print(f"digitmill: {text}", file=sys.stderr)
        if is_json_requested(given):
            print(json.dumps(_as_data(error, text, code), indent=2, default=str))
        if isinstance(error, StoppedError):
            _leave(code)
    if not code and (why := standard_streams.lost_output()):
        print(f"digitmill: done, but standard output could not be written: {why}.", file=sys.stderr)
        code = ExitCode.CRASHED
    sys.exit(code or ExitCode.OK)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Context manager that raises `click.Abort` on a stop signal, also on one that click did not see.

    Raises:
        UserError: when a relative path cannot be resolved because the working directory was deleted.
    """
    try:
        with stop_signals():
            yield
    except KeyboardInterrupt:
        raise click.Abort from None
    except FileNotFoundError as error:
        if _has_working_directory():
            raise
        folder = os.environ.get("PWD", "")
        raise UserError(
            "the working directory was deleted", value=folder, hint="change to a folder that exists"
        ) from error


def _has_working_directory() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


_WORDED: Final = (
    click.ClickException,
    click.Abort,
    JobFailedError,
    StoppedError,
    StorageError,
    UnreconciledError,
    UserError,
    WorkerError,
)


def _code_of(error: Exception) -> int:
    match error:
        case click.ClickException() | UserError():
            return ExitCode.USAGE
        case UnreconciledError():
            return ExitCode.UNRECONCILED
        case JobFailedError() | StoppedError():
            return error.code
        case _:
            return ExitCode.CRASHED


def _text_of(error: Exception, given: Sequence[str]) -> str:
    match error:
        case click.UsageError():
            message = error.format_message()
            # Some of click's sentences end in a suggestion.
            full_stop = "" if message.endswith((".", "?", "?)")) else "."
            return f"{message}{full_stop} {_usage_hint(error)}"
        case click.ClickException():
            return error.format_message()
        case click.Abort() if given:
            # A verb that can resume raises a StoppedError instead.
            return f"interrupted. To start again: {command_line(*hide_secrets(given))}"
        case click.Abort():
            return "interrupted"
        case _:
            return str(error)


def _as_data(error: Exception, text: str, code: int) -> dict[str, object]:
    """Return what is wrong, the value, and what to do, for programs."""
    wrong, hint = text, ""
    value: object = None
    if isinstance(error, ActionableError):
        wrong, value, hint = error.error, error.value, error.hint
    elif isinstance(error, click.UsageError):
        wrong, hint = error.format_message(), _usage_hint(error)
    return {"error": wrong, "value": value, "hint": hint, "exit_code": int(code)}


def _leave(code: int) -> NoReturn:
    """End the process and its children at once: threads of a stopped run would continue its work."""
    import psutil

    sys.stdout.flush()
    sys.stderr.flush()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(code)


def _usage_hint(error: click.UsageError) -> str:
    return f"See `{error.ctx.command_path if error.ctx is not None else 'digitmill'} --help`."
