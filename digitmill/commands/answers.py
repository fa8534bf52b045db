"""The answer of a verb: text for people, or JSON on standard output with all else on standard error."""

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
    """Whether a command line has `--json`, also one that click cannot parse."""
    flags = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return FLAG in flags


def request_json(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """Make the answer JSON; the callback of `--json`."""
    del param
    if value:
        ctx.meta[_WHERE] = sys.stdout


@contextlib.contextmanager
def json_alone_on_stdout(ctx: click.Context) -> Iterator[None]:
    """Context manager that leaves standard output to a JSON answer; all else goes to standard error."""
    if _WHERE not in ctx.meta:
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield


def answer(text: str | None, data: Any) -> None:
    """Print what a verb has found or done.

    Args:
        text: for people; None if it has been printed already.
        data: the same in JSON's types, printed instead with `--json`.
    """
    stream: TextIO | None = click.get_current_context().meta.get(_WHERE)
    if stream is None:
        if text is not None:
            click.echo(text)
    else:
        click.echo(json.dumps(data, indent=2, default=str), file=stream)
