"""Reads listed images: local files one by one, objects of a store many at once."""

import collections
import functools
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from digitmill.storage.listed_image import ListedImage
from digitmill.storage.local_input import open_file, read_file, stat_file
from digitmill.storage.names import path_of
from digitmill.storage.read_limits import ReadLimits
from schemas.errors import StorageError
from schemas.failure import ImageError

if TYPE_CHECKING:
    from digitmill.storage.object_stores.objects import ObjectStores

_BYTES_AHEAD: Final = 64 * 2**20
"""Listed bytes that may be under way at once, unless a single object is larger."""

_GROUP_IMAGES: Final = 8
"""Objects that a thread reads in a row: handing each over by itself costs as much as reading it."""

_GROUP_BYTES: Final = 2**20

_OTHERS: Final = 8
"""Least number of names that are looked up together by which others are judged, if there are so many."""

_FILE: Final = "file:"

Content = bytes | ImageError


class ImageReader:
    """Reads images for one worker process; close it after use."""

    def __init__(self, limits: ReadLimits | None = None) -> None:
        self._limits = limits or ReadLimits()
        self._lock = threading.Lock()
        self._stores: ObjectStores | None = None
        self._groups_ahead = 2 * self._limits.threads
        self._pool = ThreadPoolExecutor(self._limits.threads, thread_name_prefix="read")
        self._stop = threading.Event()

    def read(self, images: Iterable[ListedImage]) -> Iterator[Content]:
        """Yield each image's bytes, or the error that occurred when reading it, in order.

        Files are read in this thread, because threads would cost more than they save. Objects are read ahead.
        Reads that fail because of the store are retried for as long as the limits say.

        Raises:
            StorageError: when a bucket is unreachable or refuses every read, or the reading is interrupted.
        """
        others = images if isinstance(images, Sequence) else ()
        for files, some in itertools.groupby(images, _is_file):
            if files:
                # A loop of its own: what a call costs here, it costs for each of millions.
                for image in some:
                    try:
                        content: Content = read_file(image)
                    except ImageError as error:
                        content = error
                    yield content
            else:
                yield from self._read_objects(some, others)

    def _read_objects(
        self, objects: Iterable[ListedImage], others: Sequence[ListedImage]
    ) -> Iterator[Content]:
        read = functools.partial(self._objects().read_group, others=others, stop=self._stop)
        under_way: collections.deque[tuple[int, Callable[[], list[Content]]]] = collections.deque()
        ahead = 0
        for group in _groups(objects):
            size = sum(max(0, image.size) for image in group)
            while under_way and (len(under_way) >= self._groups_ahead or ahead + size > _BYTES_AHEAD):
                arrived, contents = under_way.popleft()
                ahead -= arrived
                yield from contents()
            try:
                under_way.append((size, self._pool.submit(read, group).result))
            except RuntimeError as error:  # the pool has been shut down
                raise StorageError("the reader was closed", value=group[0].uri, hint="start again") from error
            ahead += size
        while under_way:
            yield from under_way.popleft()[1]()

    def find(self, uris: Sequence[str]) -> Iterator[ListedImage]:
        """Yield the current versions of images, in order; size -1 for an image that cannot be examined."""
        if all(uri.startswith(_FILE) for uri in uris):
            return map(self._find, uris)
        others = [ListedImage(uri, 0, -1) for uri in uris[:: max(1, len(uris) // _OTHERS)]]
        return self._pool.map(functools.partial(self._find, others=others), uris)

    def fetch(self, image: ListedImage) -> BinaryIO:
        """Open a file of any size for reading; an object is copied to a temporary file.

        Raises:
            ImageError: when the file cannot be read.
        """
        if _is_file(image):
            return open_file(image)
        return self._objects().fetch(image, stop=self._stop)

    def read_head(self, image: ListedImage, size: int) -> bytes:
        """Return the first `size` bytes of a file, or all if it has fewer.

        Raises:
            ImageError: when they cannot be read.
        """
        if _is_file(image):
            with open_file(image) as file:
                return file.read(size)
        return self._objects().read_head(image, size, stop=self._stop)

    def interrupt(self) -> None:
        """Interrupt reads in other threads; they get StorageError instead of waiting for a store."""
        self._stop, ended = threading.Event(), self._stop
        ended.set()

    def close(self) -> None:
        """End the threads and their requests."""
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _objects(self) -> "ObjectStores":
        with self._lock:
            if self._stores is None:
                # Takes 0.3 s to import, which files need not wait for.
                from digitmill.storage.object_stores.objects import ObjectStores

                self._stores = ObjectStores(self._limits)
            return self._stores

    def _find(self, uri: str, others: Sequence[ListedImage] = ()) -> ListedImage:
        if uri.startswith(_FILE):
            return stat_file(path_of(uri))
        return self._objects().stat(uri, others=others, stop=self._stop)


def _is_file(image: ListedImage) -> bool:
    return image.uri.startswith(_FILE)


def _groups(objects: Iterable[ListedImage]) -> Iterator[list[ListedImage]]:
    """Yield groups that are bounded in number and in listed bytes."""
    group: list[ListedImage] = []
    held = 0
    for image in objects:
        if group and (len(group) == _GROUP_IMAGES or held + image.size > _GROUP_BYTES):
            yield group
            group, held = [], 0
        group.append(image)
        held += image.size
    if group:
        yield group
