"""Value types of flags."""

import os
import pathlib
import re
from collections.abc import Iterable
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def place_text(value: str | os.PathLike[str]) -> str:
    """Return a path or URI as text."""
    # Imported when a value is there: it takes a fifth of the time of `digitmill --help`.
    from digitmill.storage.names import place_as_given

    return place_as_given(value)


class FiniteRange(click.FloatRange):
    """A number within bounds; rejects NaN and infinities."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        number = super().convert(value, param, ctx)
        if number != number or number in (float("inf"), float("-inf")):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class ValueChoice(click.Choice):
    """A member of a string enumeration, written as its value."""

    def normalize_choice(self, choice: Any, ctx: click.Context | None) -> str:
        """Return a member's value; click would use its name."""
        del ctx
        return str(choice)


class NameSet(click.ParamType):
    """One or more names, separated by commas, in a normalized order; None for the default."""

    name = "names"

    def __init__(self, names: Iterable[str], usual: Iterable[str]) -> None:
        """Take all names, in their order, and those that need not be given."""
        self._names = tuple(map(str, names))
        self._usual = set(map(str, usual))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | None:
        """Return the names in the defined order; Python callers may pass a list."""
        given = value.split(",") if isinstance(value, str) else map(str, value)
        found = {name.strip().lower() for name in given} - {""}
        if not found or not found <= {*self._names}:
            self.fail(f"{value!r} is not one or more of {', '.join(self._names)}, with commas.", param, ctx)
        return None if found == self._usual else ",".join(name for name in self._names if name in found)


class LocalPath(click.Path):
    """A local path, as a `pathlib.Path`; see `Place` for paths that may be in a bucket."""

    def __init__(self) -> None:
        super().__init__(path_type=pathlib.Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> pathlib.Path:
        """Return the path."""
        given = place_text(value)
        if _ADDRESS.match(given):
            self.fail(f"{given} is not on this machine's disk. Give a path there.", param, ctx)
        return super().convert(value, param, ctx)  # type: ignore[return-value]


class Place(click.ParamType):
    """A path or a URI, passed on unchanged; shells complete it as a path."""

    name = "place"

    def __init__(self, kind: str = "dir") -> None:
        """Say what shells shall offer: `dir` or `file`."""
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path or URI; reject a flag, which means that the path was forgotten."""
        if isinstance(value, str) and value.startswith("--"):
            self.fail(f"{value!r} is a flag, not a path. A path of that name is ./{value}.", param, ctx)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Let the shell complete paths."""
        del ctx, param
        return [CompletionItem(incomplete, type=self._kind)]


LOCAL = LocalPath()
"""A file or a folder on this machine's disk."""

FOLDER = Place("dir")
"""A folder, local or in a bucket."""

FILE = Place("file")
"""A file or a folder, local or in a bucket."""
