"""The click command of a verb: grouped flags, flags of all verbs, suggestions for misspelled flags."""

import contextlib
import dataclasses
import difflib
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import click
import cloup
from cloup import HelpFormatter, HelpTheme, Style

from digitmill.commands import answers, run_config, verbosity
from digitmill.commands.options import Options, flags
from digitmill.commands.parameter_types import FILE

_THEME: Final = HelpTheme(heading=Style(bold=True), invoked_command=Style(bold=True))

_GIVEN: Final = "digitmill.given"
"""Key of the click context under which the words of the command line stand."""

_VERBOSITY: Final = "digitmill.verbosity"
"""Key of the click context under which `quiet` or `verbose` stands, if it is given."""

HELP: Final = HelpFormatter.settings(theme=_THEME, max_width=100)
"""Format of the help text; colors and bold print are for terminals only."""


class Verb(cloup.Command):
    """A command with grouped flags, `--config` and `--json`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line."""
        ctx.meta[_GIVEN] = tuple(args)
        with _misspelled_rather_than_missing(ctx), _close_suggestions_only():
            rest = super().parse_args(ctx, args)
        run_config.join_beam_flags(ctx)
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _verbosity(ctx), answers.json_alone_on_stdout(ctx), _misspelled_rather_than_missing(ctx):
            return super().invoke(ctx)


@contextlib.contextmanager
def _verbosity(ctx: click.Context) -> Iterator[None]:
    """Context manager that tells as much as `--quiet` and `--verbose` ask for."""
    given = ctx.meta.get(_VERBOSITY, set())
    if given == {"quiet", "verbose"}:
        raise click.UsageError("--quiet and --verbose exclude each other.", ctx)
    with contextlib.ExitStack() as stack:
        for name in given:
            stack.enter_context(getattr(verbosity, name)())
        yield


def _note_verbosity(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta.setdefault(_VERBOSITY, set()).add(str(param.name))


@contextlib.contextmanager
def _misspelled_rather_than_missing(ctx: click.Context) -> Iterator[None]:
    """Context manager that reports a missing flag as misspelled if an unknown one is close to it.

    Verbs that pass unknown flags on, such as those of Beam, do not report them by themselves.
    """
    try:
        yield
    except click.MissingParameter as error:
        wanted = [
            flag for param in ctx.command.params for flag in param.opts if flag in error.format_message()
        ]
        for word in _unknown(ctx, ctx.meta[_GIVEN]):
            if close := close_flags(word, wanted):
                raise click.NoSuchOption(word, possibilities=close, ctx=ctx) from None
        raise


@contextlib.contextmanager
def _close_suggestions_only() -> Iterator[None]:
    """Context manager that drops click's suggestions for an unknown flag that share little but the dashes."""
    try:
        yield
    except click.NoSuchOption as error:
        close = close_flags(error.option_name, error.possibilities or ())
        raise click.NoSuchOption(error.option_name, possibilities=close, ctx=error.ctx) from None


def close_flags(word: str, flags: Iterable[str], *, most: int = 3) -> list[str]:
    """Return the flags closest to a misspelled one, ignoring dashes, closest first."""
    by_name = {flag.lstrip("-"): flag for flag in flags}
    return [by_name[name] for name in difflib.get_close_matches(word.lstrip("-"), by_name, n=most)]


def _unknown(ctx: click.Context, words: Sequence[str]) -> Iterator[str]:
    known = {flag for param in ctx.command.params for flag in (*param.opts, *param.secondary_opts)}
    flags = (word.partition("=")[0] for word in words if word.startswith("--"))
    return (flag for flag in flags if flag not in known)


def verb(
    name: str | None = None, *, options: type[Options] | None = None, **settings: Any
) -> Callable[[Callable], Verb]:
    """Return a decorator that makes a function a verb, with `--config` and `--json`.

    The fields of `options`, the class of the function's first argument, declare the verb's flags. `settings`
    are further arguments of `cloup.command`.
    """
    context = {
        "help_option_names": ["-h", "--help"],
        "formatter_settings": HELP,
        **settings.pop("context_settings", {}),
    }
    make = cloup.command(name, cls=Verb, context_settings=context, **settings)

    def decorate(function: Callable) -> Verb:
        taking = function if options is None else _taking(options, function)
        return make(_CONFIG(_JSON(_QUIET(_VERBOSE(taking)))))

    return decorate


def _taking(options: type[Options], function: Callable) -> Callable:
    """Return the function as click calls it, with one argument per flag."""

    @functools.wraps(function)
    def call(**given: Any) -> Any:
        names = {field.name for field in dataclasses.fields(options)}  # type: ignore[arg-type]
        own = {name: given.pop(name) for name in names & given.keys()}
        return function(options.of(own), **given)

    return flags(options)(call)


def flags_of_verb() -> list[str]:
    """Return the flags of the running verb, for suggestions; empty outside a command."""
    ctx = click.get_current_context(silent=True)
    return [flag for param in ctx.command.params for flag in param.opts if flag[:2] == "--"] if ctx else []


_CONFIG: Final = click.option(
    "--config",
    type=FILE,
    metavar="run.yaml",
    is_eager=True,
    expose_value=False,
    callback=run_config.load,
    help="Take flags from this file's section for the command. Flags on the command line win.",
)
_JSON: Final = click.option(
    answers.FLAG,
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=answers.request_json,
    help="Print the answer as JSON on standard output, and everything else on standard error.",
)
_QUIET: Final = click.option(
    "--quiet",
    "-q",
    is_flag=True,
    expose_value=False,
    callback=_note_verbosity,
    help="Print errors and warnings only; with --json also the answer.",
)
_VERBOSE: Final = click.option(
    "--verbose",
    "-v",
    is_flag=True,
    expose_value=False,
    callback=_note_verbosity,
    help="Show the logs of Beam, TensorFlow and other libraries on standard error.",
)
