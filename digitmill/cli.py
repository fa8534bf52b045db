"""The command `digitmill VERB`: loads a job only when its verb is called, and words every error."""

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import click
import cloup

from commands.answers import is_json_asked
from commands.command_line import command_line
from commands.verb import HELP
from digitmill.shipped import SHIPPED_MODEL
from schemas.errors import (
    ExitCode,
    JobFailedError,
    RuleError,
    StoppedError,
    StorageError,
    UnreconciledError,
    UserError,
)

_VERBS = {
    "train": "trainer.task:train",
    "recipes": "trainer.task:recipes",
    "submit": "trainer.submit:submit",
    "tune": "trainer.tune:tune",
    "score": "pipelines.score:score",
    "review": "pipelines.review:review",
    "verify": "pipelines.verify:verify",
    "compact": "pipelines.compact:compact",
    "report": "digitmill.report:report",
    "pack": "pipelines.pack:pack",
    "evaluate": "trainer.evaluate:evaluate",
    "card": "digitmill.card:card",
    "sample": "digitmill.sample:sample",
    "doctor": "digitmill.doctor:doctor",
}


class _LazyGroup(cloup.Group):
    """A group whose verbs are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        module, _, name = _VERBS[cmd_name].partition(":")
        return getattr(importlib.import_module(module), name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # Of verbs that were not imported click knows nothing, and would suggest none.
        if not ctx.resilient_parsing and not args[0].startswith("-") and not self.get_command(ctx, args[0]):
            raise click.NoSuchCommand(args[0], possibilities=self.list_commands(ctx), ctx=ctx)
        return click.Group.resolve_command(self, ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        click.Group.format_commands(self, ctx, formatter)


# The jobs do not know the face, nor where its model is: it hands it to them as a default.
_DEFAULTS: Final = {"score": {"model": SHIPPED_MODEL}, "evaluate": {"model": SHIPPED_MODEL}}


@click.group(
    cls=_LazyGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "default_map": _DEFAULTS,
        "formatter_settings": HELP,
    },
)
@click.version_option(package_name="digitmill")
def digitmill() -> None:
    """Train a digit classifier on your GPUs, and score millions of digit images with it.

    A first try, on digits that come with the package:

    \b
      digitmill sample digits
      digitmill train --recipe cnn --data sample --output run
      digitmill score --input digits --labels folder --model run/bundle --output scores

    Without --model, score and evaluate take the model that comes with digitmill.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs one verb and exits with its `ExitCode`.

    Args:
        arguments: the verb and its flags; those of the process when None.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    # None leaves it to click, which colours what goes to a terminal.
    color = False if os.environ.get("NO_COLOR") else None
    try:
        code = digitmill.main(arguments, prog_name="digitmill", standalone_mode=False, color=color)
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
    if isinstance(error, RuleError):
        said |= {"rule": error.rule, "got": str(error.got), "remedy": error.remedy}
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
