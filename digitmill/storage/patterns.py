"""Patterns over object names, by the rules that `glob` has for files."""

import fnmatch
import re
from typing import Final

_MAGIC: Final = re.compile(r"[*?\[]")


def has_magic(name: str) -> bool:
    """Whether a name holds `*`, `?` or `[`."""
    return _MAGIC.search(name) is not None


def literal_prefix(pattern: str) -> str:
    """Returns what every match begins with: a listing need look at no other names."""
    found = _MAGIC.search(pattern)
    return pattern if found is None else pattern[: found.start()]


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Returns a pattern's regular expression, for `fullmatch`.

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
