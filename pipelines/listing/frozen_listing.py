"""What was listed, kept in the output: work items travel through Beam as the names of these files.

Beam compresses what it is given to create again and again: the names of 60,000 images took it 0.6 s.
And a listing that is repeated finds the names of the first time: a range of names is listed into work
items one after the other, each written once under the range's name and its number. A worker that takes
a range up again reads those that are there and goes on after the last name of the last one; so objects
that come or go in between change nothing that was listed.
"""

import dataclasses
import gzip
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Self

from digitmill.storage import OutputFolder
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.object_stores import gs
from digitmill.storage.object_stores.objects import split
from digitmill.storage.patterns import compile_pattern
from pipelines.listing.input_listing import Listing, RemoteRange
from pipelines.listing.key_ranges import KeyRange
from pipelines.listing.true_labels import by_folder
from pipelines.listing.work_item import MOST, SIZE, WorkItem, pack, separate_archives

LISTING: Final = "listing"
"""Folder of what workers listed within the output."""

INDEX: Final = f"{LISTING}/index.json"
"""What the launcher listed, and the ranges that it left to the workers; written when it has listed all."""

ItemRef = tuple[str, int]
"""A listing file's name in the output, and which of its work items, archives apart, is meant."""

_END: Final = b"[]\n"
"""Content of the file that ends a range: it holds no further item."""


class FrozenItem(NamedTuple):
    """A work item as the index names it.

    Attributes:
        file: the listing file that holds it.
        number: which of the file's work items, archives apart.
        digest: the item's.
        images: how many it has.
        may_be_archive: whether it is a single file that may hold many.
    """

    file: str
    number: int
    digest: str
    images: int
    may_be_archive: bool

    @property
    def ref(self) -> ItemRef:
        """How it travels through Beam."""
        return self.file, self.number


@dataclasses.dataclass(frozen=True)
class Frozen:
    """What the launcher listed.

    Attributes:
        items: its work items, archives apart.
        ranges: names that workers list.
        buckets: number of buckets in which the names are joined with those of earlier runs; 0 for none.
    """

    items: tuple[FrozenItem, ...]
    ranges: tuple[RemoteRange, ...] = ()
    buckets: int = 0

    def to_json(self) -> str:
        """Returns the index as the text of its file."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":")) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote."""
        fields = json.loads(text)
        ranges = (
            RemoteRange(keys["bucket"], KeyRange(**keys["keys"]), keys["pattern"])
            for keys in fields["ranges"]
        )
        items = tuple(FrozenItem(*item) for item in fields["items"])
        return cls(items, tuple(ranges), fields["buckets"])


class RangeLister:
    """Lists ranges of names into work items, for one worker.

    Args:
        output: where the listing is kept.
        run: digest of all that rows depend on beside the images.
        folder_labels: whether an image's folder is its label.
        size: greatest number of images in an item.
    """

    def __init__(self, output: OutputFolder, *, run: str, folder_labels: bool, size: int = SIZE) -> None:
        self._output = output
        self._run = run
        self._folder_labels = folder_labels
        self._size = size

    def refs(self, keys: RemoteRange) -> Iterator[ItemRef]:
        """Yields references to the range's work items, archives apart; the same every time."""
        for number, item in enumerate(self.items(keys)):
            yield from (frozen.ref for frozen in frozen_items(_range_file(keys, number), item))

    def items(self, keys: RemoteRange) -> Iterator[WorkItem]:
        """Yields what is frozen of the range; the same every time."""
        matching, start = None, keys.keys.start
        for number in itertools.count():
            name = _range_file(keys, number)
            listed = None
            if not self._output.exists(name):
                matching = matching or self._matching(keys, start)
                listed = next(pack(list(itertools.islice(matching, self._size)), self._run), None)
                write_items(self._output, name, listed)
            # Read back: of two workers that wrote it at once, the first one's item counts for both.
            item = read_item(self._output, name)
            if item is None:
                return
            yield item
            start = split(item.images[-1].uri)[2] + "\0"
            matching = matching if item == listed else None

    def _matching(self, keys: RemoteRange, start: str) -> Iterator[ListedImage]:
        from digitmill.storage.object_stores import google

        pattern = compile_pattern(keys.pattern) if keys.pattern else None
        for image in google.list_objects(keys.bucket, start=start, end=keys.keys.end):
            if gs.is_folder_marker(image):
                continue
            if pattern is None or pattern.fullmatch(split(image.uri)[2]):
                yield by_folder(image) if self._folder_labels else image


def freeze(
    listing: Listing,
    output: OutputFolder,
    *,
    run: str,
    most: int = MOST,
    buckets: Callable[[int], int] = lambda _: 0,
    confirm: Callable[[], None] = lambda: None,
    begin: Callable[[FrozenItem], None] = lambda _: None,
) -> Frozen:
    """Writes the work items of what the launcher lists, then their index.

    What an earlier launcher left, who did not get as far as the index, is removed. What was scored of it is
    found again by its content, and is no part of the run where it is not.

    Args:
        listing: no more of it is held than one item.
        output: where to.
        run: digest of all that rows depend on beside the images.
        most: greatest number of images in an item.
        buckets: number of buckets to join so many listed images in; 0 for no join.
        confirm: raises when the output is not ours any more.
        begin: is told of each item as soon as it is written.
    """
    for name in output.names(LISTING):
        output.delete(f"{LISTING}/{name}")
    items: list[FrozenItem] = []
    for number, item in enumerate(pack(listing, run, size=min(SIZE, most), most=most)):
        name = f"{LISTING}/launcher-{number:05d}.json.gz"
        write_items(output, name, item)
        for each in frozen_items(name, item):
            items.append(each)
            begin(each)
    frozen = Frozen(tuple(items), listing.ranges, buckets(sum(item.images for item in items)))
    # Another launcher may have taken over, and listed, while this one slept.
    confirm()
    output.write_once(INDEX, frozen.to_json().encode())
    return read_index(output) or frozen


def read_index(output: OutputFolder) -> Frozen | None:
    """Returns what the launcher listed; None where it was not done with it."""
    try:
        return Frozen.from_json(output.read(INDEX).decode())
    except FileNotFoundError:
        return None


def frozen_items(name: str, item: WorkItem) -> Iterator[FrozenItem]:
    """Yields how an index names a listing file's work items."""
    for number, each in enumerate(separate_archives([item])):
        yield FrozenItem(name, number, each.digest, len(each.images), each.may_be_archive)


def load(output: OutputFolder, ref: ItemRef) -> WorkItem:
    """Returns the work item that is meant."""
    name, number = ref
    return items_in(output, name)[number]


def items_in(output: OutputFolder, name: str) -> list[WorkItem]:
    """Returns the work items of a listing file, archives apart; none where it ends a range."""
    item = read_item(output, name)
    return [] if item is None else list(separate_archives([item]))


def frozen_range(output: OutputFolder, keys: RemoteRange) -> Iterator[FrozenItem]:
    """Yields the work items of a range that was listed to its end.

    Raises:
        FileNotFoundError: when it was not.
    """
    for number in itertools.count():
        name = _range_file(keys, number)
        item = read_item(output, name)
        if item is None:
            return
        yield from frozen_items(name, item)


def _range_file(keys: RemoteRange, number: int) -> str:
    content = json.dumps([keys.bucket, keys.keys.start, keys.keys.end, keys.pattern])
    return f"{LISTING}/range-{hashlib.sha256(content.encode()).hexdigest()[:16]}-{number:05d}.json.gz"


def write_items(output: OutputFolder, name: str, item: WorkItem | None) -> None:
    """Writes a listing file once; None ends a sequence of them."""
    content = _END if item is None else item.to_bytes()
    output.write_once(name, gzip.compress(content, 1, mtime=0))


def read_item(output: OutputFolder, name: str) -> WorkItem | None:
    """Returns what a listing file holds, archives among the rest."""
    content = gzip.decompress(output.read(name))
    return None if content == _END else WorkItem.from_bytes(content)
