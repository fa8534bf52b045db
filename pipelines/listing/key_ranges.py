"""Splits the names of a large bucket into key ranges that can be listed in parallel.

Nothing is known about the names in advance, and a store can only return the first names from a given key on.
So the names are walked like a trie: each request finds the next branch, and the branches become the bounds of
the ranges. A request returns a page of names, so a branch with fewer is known to be small. Small branches
share ranges; only large ones are split further. The ranges are half-open and leave no gap, so every name,
including one that appears during the listing, is in exactly one range.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

NUM_RANGES: Final = 64
"""Target number of ranges: enough for many workers, and found in seconds."""

PAGE: Final = 1000
"""Names per request."""

_REQUESTS_A_PAGE: Final = 4
"""Maximum requests per page of known names; more do not pay when there are few names."""

FirstNames = Callable[[str, str], Sequence[str]]
"""Returns the first `PAGE` names >= start and < end (empty: no end), or all if there are fewer."""

Mapped = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""Calls a function with each of several values, like `map`."""


@dataclasses.dataclass(frozen=True)
class KeyRange:
    """Names n with start <= n < end; an empty end means no bound."""

    start: str
    end: str

    def __contains__(self, name: str) -> bool:
        return self.start <= name and (not self.end or name < self.end)


@dataclasses.dataclass(frozen=True)
class _Branch:
    """The names with a prefix.

    Attributes:
        names: the first page of names, or all of them.
        whole: whether `names` has all of them.
    """

    prefix: str
    names: Sequence[str]
    whole: bool


def split_range(
    whole: KeyRange,
    first_names: FirstNames,
    *,
    prefix: str = "",
    num_ranges: int = NUM_RANGES,
    least: int = 1,
    at_once: Mapped = map,
) -> list[KeyRange]:
    """Return consecutive ranges that cover `whole`: `num_ranges` or more, if there are enough names.

    All names in `whole` begin with `prefix`. Each call of `first_names` costs one request. Small branches
    share a range until it has `least` names. `at_once` is `map`, or a parallel version of it.
    """
    names = first_names(whole.start, whole.end)
    branches, requests = [_Branch(prefix, names, len(names) < PAGE)], 0

    def ask(start: str) -> Sequence[str]:
        nonlocal requests
        requests += 1
        return first_names(start, whole.end)

    while 0 < sum(not branch.whole for branch in branches) < num_ranges:
        pages = sum(len(branch.names) for branch in branches) / PAGE
        if requests > _REQUESTS_A_PAGE * (pages + 4):
            break
        deeper = at_once(lambda branch: _children(branch, ask), branches)
        branches = list(itertools.chain.from_iterable(deeper))
    bounds = _bounds(branches, num_ranges=num_ranges, least=least)
    edges = [whole.start, *(bound for bound in bounds if bound in whole and bound != whole.start), whole.end]
    return [KeyRange(start, end) for start, end in itertools.pairwise(edges)]


def _children(branch: _Branch, ask: Callable[[str], Sequence[str]]) -> list[_Branch]:
    """Return the branches of a large branch; return a small one unchanged."""
    return [branch] if branch.whole else [*_split_branch(branch.prefix, branch.names, ask)]


def _split_branch(
    prefix: str, names: Sequence[str], ask: Callable[[str], Sequence[str]]
) -> Iterator[_Branch]:
    """Yield sub-branches whose prefixes are one character longer than the common prefix of all names."""
    if len(_common(names[0], names[-1])) > len(prefix):
        first = names[0][: len(prefix) + 1]
        beyond = _inside(prefix, _from(first, ask))
        if beyond:
            yield _Branch(first, names, whole=False)
            names = beyond
        else:
            prefix = _longest_prefix(first, names, ask)
    while inside := _inside(prefix, names):
        groups = [
            (key, [*group]) for key, group in itertools.groupby(inside, lambda name: name[: len(prefix) + 1])
        ]
        last, of_last = groups[-1]
        cut = len(inside) == PAGE
        yield from (_Branch(key, group, whole=True) for key, group in (groups[:-1] if cut else groups))
        if not cut:
            return
        if len(groups) > 1:
            names = ask(of_last[0])  # the page ends within the last group, so its size is unknown
            continue
        yield _Branch(last, inside, whole=False)
        names = _from(last, ask)


def _longest_prefix(prefix: str, names: Sequence[str], ask: Callable[[str], Sequence[str]]) -> str:
    """Return the longest common prefix of all names that start with `prefix`; `names` is their first page."""
    name, least, most = names[0], len(prefix), len(_common(names[0], names[-1]))
    while least < most:
        middle = (least + most + 1) // 2
        beyond = _inside(prefix, _from(name[:middle], ask))
        if beyond:
            most = len(_common(name, beyond[0]))
        else:
            least = middle
    return name[:least]


def _common(one: str, other: str) -> str:
    """Return the common prefix of two names."""
    return one[
        : next(
            (place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
            len(one),
        )
    ]


def _from(prefix: str, ask: Callable[[str], Sequence[str]]) -> Sequence[str]:
    """Return the first names after those with a prefix."""
    beyond = prefix_end(prefix)
    return ask(beyond) if beyond else []


def _inside(prefix: str, names: Sequence[str]) -> list[str]:
    return list(itertools.takewhile(lambda name: name.startswith(prefix), names))


def _bounds(branches: Sequence[_Branch], *, num_ranges: int, least: int) -> Iterator[str]:
    """Yield the starts of new ranges: at large branches, and where small ones reach a fair share of names."""
    share = max(least, sum(len(branch.names) for branch in branches) / num_ranges)
    held = 0.0
    for branch in branches:
        if branch.whole:
            for name in branch.names:
                if held >= share:
                    yield name
                    held = 0
                held += 1
            continue
        if held > share / 4:
            yield branch.prefix
        held = share


def prefix_end(prefix: str) -> str:
    """Return the smallest text greater than all texts with a prefix; empty if there is none."""
    for place in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[place]) + 1
        if code == 0xD800:
            code = 0xE000  # surrogates are not characters
        if code <= 0x10FFFF:
            return prefix[:place] + chr(code)
    return ""
