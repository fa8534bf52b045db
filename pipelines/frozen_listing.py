"""What was listed, kept in the output: work items travel through Beam as the names of these files.

Beam compresses what it is given to create again and again: the names of 60,000 images took it 0.6 s.
And a listing that is repeated finds the names of the first time: a range of names is listed into work
items one after the other, each written once under the range's name and its number. A worker that takes
a range up again reads those that are there and goes on after the last name of the last one; so objects
that come or go in between change nothing that was listed.
"""

import gzip
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Final

from pipelines.labels import by_folder
from pipelines.listing import RemoteRange
from pipelines.storage import OutputFolder, google
from pipelines.storage.objects import split
from pipelines.storage.patterns import compile_pattern
from pipelines.work_item import SIZE, ListedImage, WorkItem, pack, separate_archives

LISTING: Final = "listing"
"""Folder of what workers listed within the output."""

ItemRef = tuple[str, int]
"""A listing file's name in the output, and which of its work items, archives apart, is meant."""

_END: Final = b"[]\n"
"""Content of the file that ends a range: it holds no further item."""


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
            yield from _refs(_range_file(keys, number), item)

    def items(self, keys: RemoteRange) -> Iterator[WorkItem]:
        """Yields what is frozen of the range; the same every time."""
        matching, start = None, keys.keys.start
        for number in itertools.count():
            name = _range_file(keys, number)
            listed = None
            if not self._output.exists(name):
                matching = matching or self._matching(keys, start)
                listed = next(pack(list(itertools.islice(matching, self._size)), self._run), None)
                _write_item(self._output, name, listed)
            # Read back: of two workers that wrote it at once, the first one's item counts for both.
            item = _read_item(self._output, name)
            if item is None:
                return
            yield item
            start = split(item.images[-1].uri)[2] + "\0"
            matching = matching if item == listed else None

    def _matching(self, keys: RemoteRange, start: str) -> Iterator[ListedImage]:
        pattern = compile_pattern(keys.pattern) if keys.pattern else None
        for image in google.list_objects(keys.bucket, start=start, end=keys.keys.end):
            if google.is_folder_marker(image):
                continue
            if pattern is None or pattern.fullmatch(split(image.uri)[2]):
                yield by_folder(image) if self._folder_labels else image


def freeze(items: Iterable[WorkItem], output: OutputFolder) -> Iterator[ItemRef]:
    """Writes the work items of what the launcher listed and yields references to them."""
    for number, item in enumerate(items):
        name = f"{LISTING}/launcher-{number:05d}.json.gz"
        _write_item(output, name, item)
        yield from _refs(name, item)


def load(output: OutputFolder, ref: ItemRef) -> WorkItem:
    """Returns the work item that is meant."""
    name, number = ref
    return items_in(output, name)[number]


def items_in(output: OutputFolder, name: str) -> list[WorkItem]:
    """Returns the work items of a listing file, archives apart; none where it ends a range."""
    item = _read_item(output, name)
    return [] if item is None else list(separate_archives([item]))


def read_range(output: OutputFolder, keys: RemoteRange) -> Iterator[WorkItem]:
    """Yields the work items, archives apart, of a range that was listed to its end.

    Raises:
        FileNotFoundError: when it was not.
    """
    for number in itertools.count():
        items = items_in(output, _range_file(keys, number))
        if not items:
            return
        yield from items


def _range_file(keys: RemoteRange, number: int) -> str:
    content = json.dumps([keys.bucket, keys.keys.start, keys.keys.end, keys.pattern])
    return f"{LISTING}/range-{hashlib.sha256(content.encode()).hexdigest()[:16]}-{number:05d}.json.gz"


def _refs(name: str, item: WorkItem) -> Iterator[ItemRef]:
    for number, _ in enumerate(separate_archives([item])):
        yield name, number


def _write_item(output: OutputFolder, name: str, item: WorkItem | None) -> None:
    content = _END if item is None else item.to_bytes()
    output.write_once(name, gzip.compress(content, 1, mtime=0))


def _read_item(output: OutputFolder, name: str) -> WorkItem | None:
    content = gzip.decompress(output.read(name))
    return None if content == _END else WorkItem.from_bytes(content)
