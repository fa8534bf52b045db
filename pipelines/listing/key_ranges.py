"""Splits the names of a large bucket into key ranges that can be listed in parallel.

Nothing is known about the names in advance, and a store only answers which name comes first from some key
on. So the names are walked like a trie: each request finds the next branch, and the branches become the
bounds of the ranges. The ranges are half-open and leave no gap, so every name, including one that appears
while they are listed, lies in exactly one.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Final

NUM_RANGES: Final = 64
"""Ranges to aim for: enough for many workers, and found in seconds."""

FirstName = Callable[[str, str], str | None]
"""The first name >= start and < end (empty: no end), or None."""


@dataclasses.dataclass(frozen=True)
class KeyRange:
    """Names n with start <= n < end; an empty end means no bound."""

    start: str
    end: str

    def __contains__(self, name: str) -> bool:
        return self.start <= name and (not self.end or name < self.end)


def split_range(
    whole: KeyRange, first_name: FirstName, *, prefix: str = "", num_ranges: int = NUM_RANGES
) -> list[KeyRange]:
    """Return consecutive ranges that cover `whole`: `num_ranges` or more, if there are enough names.

    All names in `whole` begin with `prefix`. Each call of `first_name` costs one request.
    """
    first = first_name(whole.start, whole.end)
    if first is None:
        return [whole]
    branches = [_Branch(prefix, first)]
    while branches and len(branches) < num_ranges:
        deeper = [child for branch in branches for child in _children(branch, whole, first_name)]
        if deeper == branches:
            break
        branches = deeper
    bounds = [branch.prefix for branch in branches[1:]]
    edges = [whole.start, *(bound for bound in bounds if bound in whole and bound != whole.start), whole.end]
    return [KeyRange(start, end) for start, end in itertools.pairwise(edges)]


@dataclasses.dataclass(frozen=True)
class _Branch:
    """All names with a prefix, and the first of them."""

    prefix: str
    first: str


def _children(branch: _Branch, whole: KeyRange, first_name: FirstName) -> list[_Branch]:
    """Return the branches of one more character, or the branch itself if it holds a single name."""
    children: list[_Branch] = []
    name: str | None = branch.first
    depth = len(branch.prefix)
    if name == branch.prefix:
        # The prefix itself is a name: it stays with the first of the longer ones.
        name = _next(branch, branch.prefix + "\0", whole, first_name)
        if name is None:
            return [branch]
    while name is not None:
        child = _Branch(name[: depth + 1], name)
        children.append(child)
        beyond = prefix_end(child.prefix)
        name = _next(branch, beyond, whole, first_name) if beyond else None
    return children


def _next(branch: _Branch, start: str, whole: KeyRange, first_name: FirstName) -> str | None:
    name = first_name(start, whole.end)
    return name if name is not None and name.startswith(branch.prefix) else None


def prefix_end(prefix: str) -> str:
    """Return the least text greater than all texts with a prefix; empty if there is none."""
    for place in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[place]) + 1
        if code == 0xD800:
            code = 0xE000  # surrogates are not characters
        if code <= 0x10FFFF:
            return prefix[:place] + chr(code)
    return ""
