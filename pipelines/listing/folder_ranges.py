"""Splits folders of buckets that cannot list from a given name into ranges for parallel listing.

Such a store can only list what is below a folder, or directly in it. So folders are split into their
sub-folders. A large one gets a range of its own and is split further. Small ones share ranges with the names
next to them; these ranges are listed folder by folder, without the folders that have their own ranges. The
ranges leave no gap, so every name, including one that appears during the listing in a new folder, is in
exactly one range.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from digitmill.storage.listed_image import ListedImage
from digitmill.storage.object_stores.bucket import Level
from digitmill.storage.object_stores.uris import split
from pipelines.listing.key_ranges import KeyRange, Mapped, prefix_end

FIRST: Final = 5000
"""A folder with fewer names than this is small: one page on Azure, five on S3."""

_LEAST_MEAN: Final = 25
"""If sub-folders have fewer names on average, one listing of all is cheaper than one for each."""

_MOST_LOOKED_INTO: Final = 1000
"""Maximum number of sub-folders to probe before they share ranges; each probe is a request."""


@dataclasses.dataclass(frozen=True)
class FolderPart:
    """How to list a key range in a bucket that cannot list from a given name.

    Attributes:
        folder: folder with all names of the range; ends in a slash, or is empty for the whole bucket.
        one_by_one: whether to list its sub-folders one by one, or everything below it at once.
        apart: sub-folders that other ranges list.
    """

    folder: str
    one_by_one: bool = False
    apart: tuple[str, ...] = ()


Part = tuple[KeyRange, FolderPart]


class _Glance(NamedTuple):
    """What the first names below a folder reveal about it.

    Attributes:
        names: number of names seen.
        large: whether there may be more.
        worth: whether it pays to split the folder.
    """

    names: int
    large: bool
    worth: bool


@dataclasses.dataclass(frozen=True)
class FolderSplitter:
    """Splits folders of a bucket.

    Attributes:
        first_names: yields at most the given number of names below a folder, in the store's order.
        folders_in: returns the direct sub-folders of a folder that may contain names of the input.
        at_once: `map`, or a parallel version of it.
    """

    first_names: Callable[[str, int], Iterable[str]]
    folders_in: Callable[[str], Iterable[str]]
    at_once: Mapped = map

    def split(self, keys: KeyRange, part: FolderPart, *, num_ranges: int, least: int = 1) -> list[Part]:
        """Split a range into `num_ranges` or more, if there are enough folders; they cover each name once.

        The range is returned unchanged if splitting does not pay. Small folders share a range until it has
        `least` names, or a page of names.
        """
        done: list[Part] = []
        rest: list[Part] = [(keys, part)]
        if not part.one_by_one and not self._glance(part.folder).worth:
            return rest
        while rest and len(done) + len(rest) < num_ranges:
            deeper: list[Part] = []
            for each in rest:
                ended, worth = self._split_once(*each, num_ranges=num_ranges, least=least)
                done += ended
                deeper += worth
            rest = deeper
        return done + rest if len(done) + len(rest) > 1 else [(keys, part)]

    def _split_once(
        self, keys: KeyRange, part: FolderPart, *, num_ranges: int, least: int
    ) -> tuple[list[Part], list[Part]]:
        """Return the final ranges, and the folder ranges to split further."""
        found = sorted(set(self.folders_in(part.folder)) - {*part.apart})
        begun = [name for name in found if name < keys.start < prefix_end(name)]
        inside = [name for name in found if name in keys]
        looked_into = begun if len(inside) > _MOST_LOOKED_INTO else [*begun, *inside]
        glances = dict(zip(looked_into, self.at_once(self._glance, looked_into), strict=True))
        large = [name for name, glance in glances.items() if glance.large or name in begun]
        small = {name: glance.names for name, glance in glances.items() if name not in large}
        if len(looked_into) < len(inside):
            share = -(-len(inside) // num_ranges)
            bounds = inside[share::share]
        else:
            bounds = [*_bounds(small, share=max(least, FIRST, sum(small.values()) / num_ranges))]
        rest = KeyRange(prefix_end(begun[0]), keys.end) if begun else keys
        done, worth = _shared(rest, part, bounds, large), list[Part]()
        for name in large:
            own = KeyRange(max(name, keys.start), prefix_end(name)), FolderPart(name)
            (worth if glances[name].worth else done).append(own)
        return done, worth

    def _glance(self, folder: str) -> _Glance:
        direct = names = 0
        folders, cut = set[str](), len(folder)
        for name in self.first_names(folder, FIRST):
            names += 1
            first, slash, _ = name[cut:].partition("/")
            direct += not slash
            folders.add(first if slash else "")
        large = names == FIRST
        below = names - direct
        worth = large and below > direct and below >= _LEAST_MEAN * len(folders - {""})
        return _Glance(names, large, worth)


def _bounds(small: dict[str, int], *, share: float) -> Iterator[str]:
    """Yield the folders at which new ranges begin."""
    held = 0
    for name, names in small.items():
        if held and held + names > share:
            yield name
            held = 0
        held += names


def _shared(keys: KeyRange, part: FolderPart, bounds: Sequence[str], large: Sequence[str]) -> list[Part]:
    """Return consecutive ranges of a folder, without the sub-folders that have their own ranges."""
    edges = [keys.start, *(bound for bound in bounds if bound != keys.start), keys.end]
    apart = sorted((*part.apart, *large))
    return [
        (each, FolderPart(part.folder, one_by_one=True, apart=tuple(name for name in apart if name in each)))
        for each in itertools.starmap(KeyRange, itertools.pairwise(edges))
    ]


def list_part(
    keys: KeyRange,
    part: FolderPart,
    start: str,
    *,
    list_folder: Callable[[str, str], Iterable[ListedImage]],
    level: Callable[[str], Level],
) -> Iterator[ListedImage]:
    """Yield the objects of a range, from the name `start` on, in order.

    `list_folder` yields the objects below a folder from a name on, in order; `level` returns the direct
    contents of a folder.
    """
    if not part.one_by_one:
        yield from list_folder(part.folder, start)
        return
    rest = KeyRange(max(start, keys.start), keys.end)
    found = level(part.folder)
    # A folder's name ends in a slash, so sorting it places all names below it correctly.
    entries: list[tuple[str, ListedImage | None]] = [(split(each.uri)[2], each) for each in found.objects]
    entries += [(name, None) for name in found.folders if name not in part.apart]
    for name, image in sorted(entries, key=lambda entry: entry[0]):
        if image is not None:
            if name in rest:
                yield image
        elif prefix_end(name) > rest.start and (not rest.end or name < rest.end):
            yield from list_folder(name, rest.start)
