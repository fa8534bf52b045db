"""Kinds of values that flags take."""

import pathlib
import re
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from digitmill.storage.names import place_as_given

_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


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


class LocalPath(click.Path):
    """A path on this machine's disk, as a `pathlib.Path`; what may be in a bucket too is a `Place`."""

    def __init__(self) -> None:
        super().__init__(path_type=pathlib.Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> pathlib.Path:
        """Return the path."""
        given = place_as_given(value)
        if _ADDRESS.match(given):
            self.fail(f"{given} is not on this machine's disk. Give a path there.", param, ctx)
        return super().convert(value, param, ctx)  # type: ignore[return-value]


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


LOCAL = LocalPath()
"""A file or a folder on this machine's disk."""

FOLDER = Place("dir")
"""A folder, local or in a bucket."""

FILE = Place("file")
"""A file or a folder, local or in a bucket."""
