"""What a verb answers: text for people, or JSON for programs with everything else on standard error."""

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final, TextIO

import click

_WHERE: Final = "digitmill.answers"
"""Key of the context's notes under which the stream for JSON stands, where JSON is asked for."""

FLAG: Final = "--json"


def is_json_asked(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for JSON; it is looked at where it could not be read, too."""
    flags = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return FLAG in flags


def ask_for_json(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """Notes that the answer is for programs; the callback of `--json`."""
    del param
    if value:
        ctx.meta[_WHERE] = sys.stdout


@contextlib.contextmanager
def alone_on_stdout(ctx: click.Context) -> Iterator[None]:
    """Sends to standard error whatever a verb prints beside its answer, where the answer is JSON."""
    if _WHERE not in ctx.meta:
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield


def answer(text: str | None, data: Any) -> None:
    """Prints what a verb has found or done.

    Args:
        text: for people; None where they have been told already.
        data: the same in JSON's types, for programs; it is printed instead where `--json` is given.
    """
    stream: TextIO | None = click.get_current_context().meta.get(_WHERE)
    if stream is None:
        if text is not None:
            click.echo(text)
    else:
        click.echo(json.dumps(data, indent=2, default=str), file=stream)
