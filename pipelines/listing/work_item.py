"""Work items: a few thousand images each, whose outputs are named by what is in them."""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Final, Self

from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import may_be_archive
from schemas.failure import Failure, ImageError

SIZE: Final = 2048
"""Images in the first work items: an item takes 5 ms beside its images, waiting for the last one more."""

MOST: Final = 65_536
"""Images in the items of very large runs, whose files would be too many else."""

_ITEMS_OF_A_SIZE: Final = 32
"""Items after which the next ones are twice as large: enough of each for the workers to share."""


def failure_of(image: ListedImage, error: ImageError) -> Failure:
    """Returns the failure of an image that met an error."""
    return Failure(image.uri, image.generation, error.code, error.detail)


@dataclasses.dataclass(frozen=True)
class WorkItem:
    """Images that are read, scored and written together.

    Attributes:
        digest: hexadecimal name of the item's content under the run's settings.
        images: at least one.
    """

    digest: str
    images: tuple[ListedImage, ...]

    def to_bytes(self) -> bytes:
        """Returns the item as compact JSON."""
        return json.dumps([self.digest, self.images], separators=(",", ":")).encode()

    @property
    def may_be_archive(self) -> bool:
        """Whether the item is a single file that may hold many images."""
        return len(self.images) == 1 and may_be_archive(self.images[0].uri)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Reads what `to_bytes` wrote."""
        digest, images = json.loads(data)
        return cls(digest, tuple(map(ListedImage._make, images)))


def pack(
    images: Iterable[ListedImage], run: str, *, size: int = SIZE, most: int | None = None
) -> Iterator[WorkItem]:
    """Yields work items that hold every image exactly once, in order.

    Args:
        images: the frozen listing; no more of it is held than one item.
        run: digest of all else that an output depends on: model, preprocessing, thresholds.
        size: number of images in the first items.
        most: what the number grows to in long listings; it does not grow when None.
    """
    left = iter(images)
    for length in _sizes(size, most or size):
        chunk = tuple(itertools.islice(left, length))
        if not chunk:
            return
        yield WorkItem(_digest(chunk, run), chunk)


def _sizes(first: int, most: int) -> Iterator[int]:
    for number in itertools.count():
        yield min(first << number // _ITEMS_OF_A_SIZE, most)


def separate_archives(items: Iterable[WorkItem]) -> Iterator[WorkItem]:
    """Yields the items with each archive in an item of its own: it may hold more than all the others."""
    for item in items:
        archives = [image for image in item.images if may_be_archive(image.uri)]
        if not archives:
            yield item
            continue
        others = tuple(image for image in item.images if not may_be_archive(image.uri))
        for images in filter(None, [others, *((archive,) for archive in archives)]):
            yield WorkItem(_digest(images, item.digest), images)


def _digest(images: tuple[ListedImage, ...], run: str) -> str:
    # URIs hold no NUL, so that no two sequences of images give the same bytes.
    # The size too: a file may be replaced by one that is said to be as old.
    named = [f"\0{uri}\0{generation}\0{size}\0{label}" for uri, generation, size, label, _ in images]
    return hashlib.sha256(f"{run}{''.join(named)}".encode()).hexdigest()[:32]
