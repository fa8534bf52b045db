"""Reads images wherever they are: files one by one, objects many at once."""

import collections
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Final, Self

from imaging.errors import ImageError
from pipelines.names import path_of
from pipelines.read_limits import ReadLimits
from pipelines.storage.local import open_file, read_file, stat_file
from pipelines.storage.objects import ObjectStores
from pipelines.work_item import ListedImage

_BYTES_AHEAD: Final = 64 * 2**20
"""Listed bytes that may be under way at once, unless a single object is larger."""

_GROUP_IMAGES: Final = 8
"""Objects that a thread reads in a row: handing each over by itself costs as much as reading it."""

_GROUP_BYTES: Final = 2**20

Content = bytes | ImageError


class ImageReader:
    """Reads images for one worker process; close it after use."""

    def __init__(self, limits: ReadLimits | None = None) -> None:
        limits = limits or ReadLimits()
        self._stores = ObjectStores(limits)
        self._groups_ahead = 2 * limits.threads
        self._pool = ThreadPoolExecutor(limits.threads, thread_name_prefix="read")

    def read(self, images: Iterable[ListedImage]) -> Iterator[Content]:
        """Yields each image's bytes, or why they cannot be had, in order.

        Files are read here and now: threads would cost more than they save. Objects are read ahead.
        """
        under_way: collections.deque[tuple[int, Callable[[], list[Content]]]] = collections.deque()
        ahead = 0
        for group in _groups(images):
            if group[0].uri.startswith("file:"):
                while under_way:
                    yield from under_way.popleft()[1]()
                ahead = 0
                yield _outcome(read_file, group[0])
                continue
            size = sum(max(0, image.size) for image in group)
            while under_way and (len(under_way) >= self._groups_ahead or ahead + size > _BYTES_AHEAD):
                arrived, contents = under_way.popleft()
                ahead -= arrived
                yield from contents()
            under_way.append((size, self._pool.submit(self._read_group, group).result))
            ahead += size
        while under_way:
            yield from under_way.popleft()[1]()

    def find(self, uris: Sequence[str]) -> Iterator[ListedImage]:
        """Yields images as they are now, in order; of one that cannot be seen, only its name."""
        if all(uri.startswith("file:") for uri in uris):
            return map(self._find, uris)
        return self._pool.map(self._find, uris)

    def fetch(self, image: ListedImage) -> BinaryIO:
        """Returns a file of any size, open for reading at its beginning; an object's is a temporary copy.

        Raises:
            ImageError: when it cannot be had.
        """
        if image.uri.startswith("file:"):
            return open_file(image)
        return self._stores.fetch(image)

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _find(self, uri: str) -> ListedImage:
        return stat_file(path_of(uri)) if uri.startswith("file:") else self._stores.stat(uri)

    def _read_group(self, group: list[ListedImage]) -> list[Content]:
        return [_outcome(self._stores.read, image) for image in group]


def _groups(images: Iterable[ListedImage]) -> Iterator[list[ListedImage]]:
    """Yields files one by one, and objects in groups bounded in number and in listed bytes."""
    group: list[ListedImage] = []
    held = 0
    for image in images:
        is_file = image.uri.startswith("file:")
        if group and (is_file or len(group) == _GROUP_IMAGES or held + image.size > _GROUP_BYTES):
            yield group
            group, held = [], 0
        if is_file:
            yield [image]
        else:
            group.append(image)
            held += image.size
    if group:
        yield group


def _outcome(read: Callable[[ListedImage], bytes], image: ListedImage) -> Content:
    try:
        return read(image)
    except ImageError as error:
        return error
