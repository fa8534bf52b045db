"""A verb of the command: grouped flags, and what every verb has."""

import contextlib
import difflib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import click
import cloup
from cloup import HelpFormatter, HelpTheme, Style

from digitmill.commands import answers, native_log, run_config
from digitmill.commands.parameter_types import FILE

_THEME: Final = HelpTheme(heading=Style(bold=True), invoked_command=Style(bold=True))

_GIVEN: Final = "digitmill.given"
"""Key of the context's notes under which stand the words of the command line."""

HELP: Final = HelpFormatter.settings(theme=_THEME, max_width=100)
"""How help looks; colours and boldness are for terminals alone."""


class Verb(cloup.Command):
    """A command whose help has groups, which reads `--config`, and answers in JSON where asked to."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reads the command line."""
        ctx.meta[_GIVEN] = tuple(args)
        with _misspelt_rather_than_missing(ctx):
            rest = super().parse_args(ctx, args)
        run_config.join_beam_flags(ctx)
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        """Runs it."""
        native_log.install()
        with answers.alone_on_stdout(ctx), _misspelt_rather_than_missing(ctx):
            return super().invoke(ctx)


@contextlib.contextmanager
def _misspelt_rather_than_missing(ctx: click.Context) -> Iterator[None]:
    """Says of a flag that is missing because it is misspelt that it is misspelt.

    Verbs that hand on to others what they do not know, such as flags of Beam, take it for one of those.
    """
    try:
        yield
    except click.MissingParameter as error:
        wanted = [
            flag for param in ctx.command.params for flag in param.opts if flag in error.format_message()
        ]
        for word in _unknown(ctx, ctx.meta[_GIVEN]):
            if close := difflib.get_close_matches(word, wanted):
                raise click.NoSuchOption(word, possibilities=close, ctx=ctx) from None
        raise


def _unknown(ctx: click.Context, words: Sequence[str]) -> Iterator[str]:
    known = {flag for param in ctx.command.params for flag in (*param.opts, *param.secondary_opts)}
    flags = (word.partition("=")[0] for word in words if word.startswith("--"))
    return (flag for flag in flags if flag not in known)


def verb(name: str | None = None, *, short_help: str, **settings: Any) -> Callable[[Callable], Verb]:
    """Returns the decorator that makes a function a verb, with `--config` and `--json`.

    Args:
        name: the verb's name, where it is not the function's.
        short_help: its line in `digitmill --help`.
        settings: what `cloup.command` takes beside.
    """
    context = {
        "help_option_names": ["-h", "--help"],
        "formatter_settings": HELP,
        **settings.pop("context_settings", {}),
    }
    make = cloup.command(name, cls=Verb, short_help=short_help, context_settings=context, **settings)

    def decorate(function: Callable) -> Verb:
        return make(_CONFIG(_JSON(function)))

    return decorate


_CONFIG: Final = click.option(
    "--config",
    type=FILE,
    metavar="run.yaml",
    is_eager=True,
    expose_value=False,
    callback=run_config.load,
    help="Take flags from this file's section for the verb; flags that are given win.",
)
_JSON: Final = click.option(
    answers.FLAG,
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=answers.ask_for_json,
    help="Answer in JSON on standard output; all else goes to standard error.",
)
