"""Patterns over names of files and objects, by the rules that `glob` has for files."""

import dataclasses
import fnmatch
import functools
import re
from typing import Final

States = frozenset[int]
"""Segments of a pattern that may come next on the way down to a folder; none: it can hold no match."""

_MAGIC: Final = re.compile(r"[*?\[]")


def has_magic(name: str) -> bool:
    """Whether a name holds `*`, `?` or `[`."""
    return _MAGIC.search(name) is not None


def literal_prefix(pattern: str) -> str:
    """Return the prefix of all matches, so that a listing can skip other names."""
    found = _MAGIC.search(pattern)
    return pattern if found is None else pattern[: found.start()]


def split_pattern(pattern: str) -> tuple[str, str]:
    """Return a pattern's folder, empty for the working directory, and the pattern below it."""
    folder, slash, _ = literal_prefix(pattern).rpartition("/")
    return folder or slash, pattern[len(folder) :].lstrip("/")


@dataclasses.dataclass(frozen=True)
class PathPattern:
    """A pattern, matched folder by folder, so that a walk enters only folders that can hold a match.

    What `compile_pattern` says of names with `/` holds here too; slashes in a row are one.
    """

    segments: tuple[str, ...]

    @classmethod
    def of(cls, pattern: str) -> "PathPattern":
        """Return the pattern of a text."""
        *folders, last = pattern.split("/")
        return cls((*(segment for segment in folders if segment not in ("", ".")), last))

    def __str__(self) -> str:
        return "/".join(self.segments)

    @functools.cached_property
    def start(self) -> States:
        """Where a walk begins."""
        return self._with_skipped({0})

    def enter(self, states: States, folder: str) -> States:
        """Return where the walk is in a sub-folder of this name."""
        below = set()
        for place in states:
            if self.segments[place] == "**":
                below.add(place)
            elif place < self._last and self._expressions[place].fullmatch(folder):
                below.add(place + 1)
        return self._with_skipped(below)

    def matches(self, states: States, name: str) -> bool:
        """Whether a file of this name, in the folder where the walk is, matches."""
        return self.takes_all(states) or (
            self._last in states and self._expressions[-1].fullmatch(name) is not None
        )

    def takes_all(self, states: States) -> bool:
        """Whether everything below the folder where the walk is matches."""
        return self._last in states and self.segments[-1] == "**"

    @property
    def _last(self) -> int:
        return len(self.segments) - 1

    @functools.cached_property
    def _expressions(self) -> list[re.Pattern[str]]:
        return [re.compile(_segment(segment), re.DOTALL) for segment in self.segments]

    def _with_skipped(self, states: set[int]) -> States:
        """Add the segments behind each `**`, which may stand for no folder."""
        pending = list(states)
        for place in pending:
            if self.segments[place] == "**" and place < self._last:
                pending.append(place + 1)
        return frozenset(pending)


EVERYTHING: Final = PathPattern.of("**")
"""All files of a folder, to any depth."""


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return a pattern's regular expression, for `fullmatch`.

    `*` and `?` stop at `/`; `**` as a whole segment stands for any number of folders, none included;
    `[abc]`, `[a-z]` and `[!a-z]` stand for one character. Hidden names match as all others do.
    """
    segments = pattern.split("/")
    expression = ""
    for number, segment in enumerate(segments):
        last = number == len(segments) - 1
        if segment == "**":
            expression += ".*" if last else "(?:.*/)?"
        else:
            expression += _segment(segment) + ("" if last else "/")
    return re.compile(expression, re.DOTALL)


def _segment(segment: str) -> str:
    expression, place = "", 0
    while place < len(segment):
        character = segment[place]
        closing = segment.find("]", place + 2 + (segment[place + 1 : place + 2] == "!"))
        if character == "[" and closing > 0:
            # The set as `fnmatch` reads it, without the end of text that it appends.
            expression += "(?!/)" + fnmatch.translate(segment[place : closing + 1])[:-2]
            place = closing
        else:
            expression += {"*": "[^/]*", "?": "[^/]"}.get(character) or re.escape(character)
        place += 1
    return expression
