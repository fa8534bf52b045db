"""The command `digitmill VERB`: loads a job only when its verb is called, and words every error."""

import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from schemas.errors import ExitCode, JobFailedError, UnreconciledError, UserError

_VERBS = {
    "train": "trainer.task:train",
    "recipes": "trainer.task:recipes",
    "score": "pipelines.score:score",
    "pack": "pipelines.pack:pack",
    "sample": "digitmill.sample:sample",
}


class _LazyGroup(click.Group):
    """A group whose verbs are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        module, _, name = _VERBS[cmd_name].partition(":")
        return getattr(importlib.import_module(module), name)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="digitmill")
def digitmill() -> None:
    """Train a digit classifier on your GPUs, and score millions of digit images with it.

    A first try, on digits that come with the package:

    \b
      digitmill sample digits
      digitmill train --recipe cnn --data sample --output run
      digitmill score --input digits --labels folder --model run/bundle --output scores
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs one verb and exits with its `ExitCode`.

    Args:
        arguments: the verb and its flags; those of the process when None.
    """
    try:
        code = digitmill.main(arguments, prog_name="digitmill", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        code = ExitCode.USAGE
    except click.UsageError as error:
        _complain(f"{error.format_message()} See `{_command_path(error)} --help`.")
        code = ExitCode.USAGE
    except (click.ClickException, UserError) as error:
        _complain(error.format_message() if isinstance(error, click.ClickException) else str(error))
        code = ExitCode.USAGE
    except JobFailedError as error:
        _complain(str(error))
        code = error.code
    except UnreconciledError as error:
        _complain(str(error))
        code = ExitCode.UNRECONCILED
    except click.Abort:
        _complain("interrupted")
        code = ExitCode.CRASHED
    sys.exit(code or ExitCode.OK)


def _command_path(error: click.UsageError) -> str:
    return error.ctx.command_path if error.ctx is not None else "digitmill"


def _complain(text: str) -> None:
    print(f"digitmill: {' '.join(text.split())}", file=sys.stderr)
