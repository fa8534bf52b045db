"""Which files of the inputs count, and what a listing met besides images."""

import dataclasses
import functools
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from digitmill.storage.junk import is_junk
from digitmill.storage.patterns import PathPattern, States, compile_pattern


@dataclasses.dataclass(frozen=True)
class Selection:
    """The files of an input that a user wants, by patterns on their names relative to the input.

    Attributes:
        include: patterns, one of which a name must match, if there are any.
        exclude: patterns, none of which it may match.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, name: str) -> bool:
        """Whether a file is wanted."""
        return (not self.include or _any_matches(self._included, name)) and not self.excludes(name)

    def excludes(self, name: str) -> bool:
        """Whether a file is excluded, or a folder, whose name ends in a slash."""
        return _any_matches(self._excluded, name)

    def __bool__(self) -> bool:
        return bool(self.include or self.exclude)

    @functools.cached_property
    def _included(self) -> list[re.Pattern[str]]:
        return list(map(compile_pattern, self.include))

    @functools.cached_property
    def _excluded(self) -> list[re.Pattern[str]]:
        return list(map(compile_pattern, self.exclude))


def _any_matches(patterns: Sequence[re.Pattern[str]], name: str) -> bool:
    return any(pattern.fullmatch(name) for pattern in patterns)


class Visit(NamedTuple):
    """For which of its files a folder was entered."""

    pattern: PathPattern
    states: States

    def covers(self, other: "Visit") -> bool:
        """Whether it finds all that another visit to the same folder would."""
        return self.pattern.takes_all(self.states) or self == other


@dataclasses.dataclass
class Survey:
    """What a listing of one or several inputs keeps and skips, and what it counts.

    Attributes:
        selection: the files that are wanted; junk never is, unless an input names it exactly.
        strict: whether a folder that cannot be listed is an error; it is a failed entry otherwise, or, if it
            has vanished, only counted.
        ignored: files that are junk or not wanted.
        vanished: folders that vanished while they were listed.
        passed_over: folders that were entered before under another name, and were left out, or some files.
    """

    selection: Selection = dataclasses.field(default_factory=Selection)
    strict: bool = True
    ignored: int = 0
    vanished: int = 0
    passed_over: int = 0
    # The folders of each kind of visit: by device and inode, a hash of the path.
    _visits: dict[Visit, dict[int, dict[int, int]]] = dataclasses.field(default_factory=dict, repr=False)

    def keep(self, name: str) -> bool:
        """Whether a file counts, by its name relative to the input; counts it as ignored otherwise."""
        kept = not is_junk(os.fsencode(name)) and self.selection.takes(name)
        self.ignored += not kept
        return kept

    @property
    def left_out(self) -> int:
        """Grows with everything that is found but not listed."""
        return self.ignored + self.vanished + self.passed_over

    def enter(self, identity: tuple[int, int], path: bytes, visit: Visit) -> list[Visit] | None:
        """Note a visit to a folder, by its device and inode; it takes some 110 bytes.

        Returns:
            Earlier visits under other names, whose files must not be listed again; None if that is all.
        """
        (device, inode), name = identity, hash(path)
        earlier = [
            before
            for before, folders in self._visits.items()
            if folders.get(device, {}).get(inode, name) != name
        ]
        if any(before.covers(visit) for before in earlier):
            self.passed_over += 1
            return None
        self.passed_over += bool(earlier)
        self._visits.setdefault(visit, {}).setdefault(device, {})[inode] = name
        return earlier
