"""What workers listed, kept in the output: a listing that is repeated finds the names of the first time.

A range of names is listed into work items one after the other, each written once under the range's
name and its number. A worker that takes a range up again reads those that are there and goes on after
the last name of the last one; so objects that come or go in between change nothing that was listed.
"""

import gzip
import hashlib
import itertools
import json
from collections.abc import Iterator
from typing import Final

from pipelines.labels import by_folder
from pipelines.listing import RemoteRange
from pipelines.storage import OutputFolder, google
from pipelines.storage.objects import split
from pipelines.storage.patterns import compile_pattern
from pipelines.work_item import SIZE, ListedImage, WorkItem, pack

LISTING: Final = "listing"
"""Folder of what workers listed within the output."""

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

    def items(self, keys: RemoteRange) -> Iterator[WorkItem]:
        """Yields the range's work items, the same every time."""
        matching, start = None, keys.keys.start
        for number in itertools.count():
            name = f"{range_name(keys)}-{number:05d}.json.gz"
            listed = None
            if not self._output.exists(name):
                matching = matching or self._matching(keys, start)
                listed = next(pack(list(itertools.islice(matching, self._size)), self._run), None)
                content = _END if listed is None else listed.to_bytes()
                self._output.write_once(name, gzip.compress(content, 1, mtime=0))
            # Read back: of two workers that wrote it at once, the first one's item counts for both.
            item = read_item(self._output, name)
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


def range_name(keys: RemoteRange) -> str:
    """Returns what the names of a range's files in the output begin with."""
    content = json.dumps([keys.bucket, keys.keys.start, keys.keys.end, keys.pattern])
    return f"{LISTING}/range-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def read_item(output: OutputFolder, name: str) -> WorkItem | None:
    """Returns the work item of a listing file; None where the range ends."""
    content = gzip.decompress(output.read(name))
    return None if content == _END else WorkItem.from_bytes(content)


def read_range(output: OutputFolder, keys: RemoteRange) -> Iterator[WorkItem]:
    """Yields what was frozen of a range that was listed to its end.

    Raises:
        FileNotFoundError: when it was not.
    """
    for number in itertools.count():
        item = read_item(output, f"{range_name(keys)}-{number:05d}.json.gz")
        if item is None:
            return
        yield item
