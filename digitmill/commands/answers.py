"""The result of a verb: text for people, or JSON on standard output with all else on standard error."""

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final, TextIO

import click

_WHERE: Final = "digitmill.answers"
"""Key of the click context under which the stream for JSON stands, if JSON is requested."""

FLAG: Final = "--json"


def is_json_requested(arguments: Sequence[str]) -> bool:
    """Whether a command line has `--json`, even if click cannot parse it."""
    flags = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return FLAG in flags


def request_json(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """Request a JSON result; the callback of `--json`."""
    del param
    if value:
        ctx.meta[_WHERE] = sys.stdout


@contextlib.contextmanager
def json_alone_on_stdout(ctx: click.Context) -> Iterator[None]:
    """Context manager that reserves standard output for the JSON result; all else goes to standard error."""
    if _WHERE not in ctx.meta:
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield


def answer(text: str | None, data: Any) -> None:
    """Print the result of a verb.

    Args:
        text: text for people; None if it has been printed already.
        data: the same as JSON types, printed instead of the text with `--json`.
    """
    stream: TextIO | None = click.get_current_context().meta.get(_WHERE)
    if stream is None:
        if text is not None:
            click.echo(text)
    else:
        click.echo(json.dumps(data, indent=2, default=str), file=stream)
