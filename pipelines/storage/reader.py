"""Reads images wherever they are: files one by one, objects many at once."""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, Final, Self

from imaging.errors import ImageError
from pipelines.read_limits import ReadLimits
from pipelines.storage.local import open_file, read_file
from pipelines.storage.objects import ObjectStores
from pipelines.work_item import ListedImage

_BYTES_AHEAD: Final = 64 * 2**20
"""Listed bytes that may be under way at once, unless a single object is larger."""


class ImageReader:
    """Reads images for one worker process; close it after use."""

    def __init__(self, limits: ReadLimits | None = None) -> None:
        limits = limits or ReadLimits()
        self._stores = ObjectStores(limits)
        self._ahead = 2 * limits.threads
        self._pool = ThreadPoolExecutor(limits.threads, thread_name_prefix="read")

    def read(self, images: Iterable[ListedImage]) -> Iterator[bytes | ImageError]:
        """Yields each image's bytes, or why they cannot be had, in order.

        Files are read here and now: threads would cost more than they save. Objects are read ahead.
        """
        under_way: collections.deque[tuple[int, Callable[[], bytes | ImageError]]] = collections.deque()
        held = 0
        for image in images:
            size = max(0, image.size)
            while under_way and (len(under_way) >= self._ahead or held + size > _BYTES_AHEAD):
                freed, result = under_way.popleft()
                held -= freed
                yield result()
            if image.uri.startswith("file:"):
                if under_way:
                    yield from (result() for _, result in under_way)
                    under_way.clear()
                    held = 0
                yield _outcome(read_file, image)
            else:
                future: Future[bytes | ImageError] = self._pool.submit(_outcome, self._stores.read, image)
                under_way.append((size, future.result))
                held += size
        yield from (result() for _, result in under_way)

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


def _outcome(read: Callable[[ListedImage], bytes], image: ListedImage) -> bytes | ImageError:
    try:
        return read(image)
    except ImageError as error:
        return error
