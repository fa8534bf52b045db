"""Which files of the inputs to list, and counts of everything else that a listing finds."""

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
    """The files of an input to list, by patterns on their names relative to the input.

    Attributes:
        include: if not empty, a name must match one of these patterns.
        exclude: a name must not match any of these patterns.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, name: str) -> bool:
        """Whether to list a file."""
        return (not self.include or _any_matches(self._included, name)) and not self.excludes(name)

    def excludes(self, name: str) -> bool:
        """Whether a file, or a folder with a name that ends in a slash, is excluded."""
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
    """The part of a folder's files for which the folder was entered."""

    pattern: PathPattern
    states: States

    def covers(self, other: "Visit") -> bool:
        """Whether this visit finds everything that another visit to the same folder would find."""
        return self.pattern.takes_all(self.states) or self == other


@dataclasses.dataclass
class Survey:
    """Decides what a listing of one or several inputs keeps, and counts the rest.

    Attributes:
        selection: the files to list; junk is never listed, unless an input names it exactly.
        strict: whether a folder that cannot be listed is an error. Otherwise it is a failed entry, or only
            counted if it has disappeared.
        ignored: number of files that are junk or not selected.
        vanished: number of folders that disappeared while they were listed.
        passed_over: number of folders skipped, wholly or partly, because they were entered under another
            name.
    """

    selection: Selection = dataclasses.field(default_factory=Selection)
    strict: bool = True
    ignored: int = 0
    vanished: int = 0
    passed_over: int = 0
    # The folders of each kind of visit: by device and inode, a hash of the path.
    _visits: dict[Visit, dict[int, dict[int, int]]] = dataclasses.field(default_factory=dict, repr=False)

    def takes(self, name: str) -> bool:
        """Whether to list a file, by its name relative to the input."""
        return not is_junk(os.fsencode(name)) and self.selection.takes(name)

    def keep(self, name: str) -> bool:
        """Whether to list a file, by its name relative to the input; if not, count it as ignored."""
        kept = self.takes(name)
        self.ignored += not kept
        return kept

    @property
    def left_out(self) -> int:
        """A number that grows with everything found but not listed."""
        return self.ignored + self.vanished + self.passed_over

    def enter(self, identity: tuple[int, int], path: bytes, visit: Visit) -> list[Visit] | None:
        """Record a visit to a folder, by device and inode; takes some 110 bytes.

        Returns:
            Earlier visits under other names, whose files must not be listed again; None if nothing is left.
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
