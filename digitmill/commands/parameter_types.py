"""Kinds of values that flags take."""

from typing import Any

import click
from click.shell_completion import CompletionItem


class FiniteRange(click.FloatRange):
    """A number within bounds; NaN, which compares with none, is outside of all."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        number = super().convert(value, param, ctx)
        if number != number or number in (float("inf"), float("-inf")):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class ValueChoice(click.Choice):
    """A member of a string enumeration, written as its value."""

    def normalize_choice(self, choice: Any, ctx: click.Context | None) -> str:
        """Return the text that stands for a member; click's own is its name."""
        del ctx
        return str(choice)


class Place(click.ParamType):
    """A path or a URI, handed on as it was typed; shells complete it as a path."""

    name = "place"

    def __init__(self, kind: str = "dir") -> None:
        """Say what shells shall offer: `dir` or `file`."""
        self._kind = kind

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Leave it to the shell."""
        del ctx, param
        return [CompletionItem(incomplete, type=self._kind)]


FOLDER = Place("dir")
"""A folder, local or in a bucket."""

FILE = Place("file")
"""A file or a folder, local or in a bucket."""
