"""Work items: batches of a few thousand images with output files named by a digest of their content."""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Self

from digitmill.storage.listed_image import FIELD_TYPES, ListedImage
from digitmill.storage.names import may_be_archive
from schemas.failure import Failure, ImageError
from schemas.versioned import check_types, fields_of, parse_json

ITEM_SIZE: Final = 2048
"""Images in the first work items: an item has 5 ms of overhead, and larger ones balance worse."""

MAX_ITEM_SIZE: Final = 65_536
"""Maximum images per item, reached in very large runs, which would otherwise have too many files."""

_ITEMS_OF_A_SIZE: Final = 32
"""Number of items after which the item size doubles: enough of each size to balance the workers."""


def make_failure(image: ListedImage, error: ImageError) -> Failure:
    """Return the failure row of an image."""
    return Failure(image=image.uri, generation=image.generation, code=error.code, detail=error.detail)


@dataclasses.dataclass(frozen=True)
class WorkItem:
    """Images that are read, scored and written together.

    Attributes:
        digest: hexadecimal digest of the images and the run's settings.
        images: at least one.
    """

    digest: str
    images: tuple[ListedImage, ...]

    def to_bytes(self) -> bytes:
        """Return the item as compact JSON: digest, number of images, and one column per image field.

        Columns take half the time of rows. A constant column is stored as its single value.
        """
        columns = [_shortened(column) for column in zip(*self.images, strict=True)]
        return json.dumps([self.digest, len(self.images), columns], separators=(",", ":")).encode()

    @property
    def may_be_archive(self) -> bool:
        """Whether the item is a single file that may contain many images."""
        return len(self.images) == 1 and may_be_archive(self.images[0].uri)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse the output of `to_bytes`; raise ValueError when the data is not a work item."""
        with fields_of("a listing file"):
            digest, *content = parse_json(data)
            check_types([[digest]], (str,))
            # Earlier versions wrote rows, without newer fields.
            return cls(digest, _of_rows(*content) if len(content) == 1 else _of_columns(*content))


def pack_items(
    images: Iterable[ListedImage], run: str, *, size: int = ITEM_SIZE, most: int | None = None
) -> Iterator[WorkItem]:
    """Pack images into work items, each image exactly once and in order.

    Items start with `size` images and grow up to `most` in long listings. Memory holds one item at a time.
    `run` is a digest of everything else that an output depends on: model, preprocessing, thresholds.
    """
    rest = iter(images)
    for number in itertools.count():
        length = min(size << number // _ITEMS_OF_A_SIZE, most or size)
        chunk = tuple(itertools.islice(rest, length))
        if not chunk:
            return
        yield WorkItem(_digest(chunk, run), chunk)


def separate_archives(items: Iterable[WorkItem]) -> Iterator[WorkItem]:
    """Yield the items with each archive as its own item, because an archive may have very many images."""
    for item in items:
        archives = [[image] for image in item.images if may_be_archive(image.uri)]
        if not archives:
            yield item
            continue
        others = [image for image in item.images if not may_be_archive(image.uri)]
        for images in map(tuple, filter(None, [others, *archives])):
            yield WorkItem(_digest(images, item.digest), images)


def _shortened(column: tuple) -> tuple | str | int:
    return column[0] if column.count(column[0]) == len(column) else column


def _of_columns(count: int, columns: Sequence[Any]) -> tuple[ListedImage, ...]:
    for column, kind in zip(columns, FIELD_TYPES, strict=True):
        several = isinstance(column, list)
        if {*map(type, column if several else [column])} != {kind} or (several and len(column) != count):
            raise TypeError(f"not {count} values of {kind.__name__} in a column")
    whole = (each if isinstance(each, list) else itertools.repeat(each, count) for each in columns)
    # Calling the class with separate fields takes twice the time.
    return tuple(map(tuple.__new__, itertools.repeat(ListedImage), zip(*whole, strict=True)))


def _of_rows(rows: Sequence[Any]) -> tuple[ListedImage, ...]:
    check_types(rows, FIELD_TYPES)
    return tuple(itertools.starmap(ListedImage, rows))


def _digest(images: tuple[ListedImage, ...], run: str) -> str:
    # URIs contain no NUL, so different sequences of images give different bytes. The size is included because
    # a file may be replaced by one with the same modification time.
    named = [
        f"\0{uri}\0{generation}\0{size}\0{label}{pages}{carried}"
        for uri, generation, size, label, _, pages, carried in images
    ]
    return hashlib.sha256(f"{run}{''.join(named)}".encode()).hexdigest()[:32]
