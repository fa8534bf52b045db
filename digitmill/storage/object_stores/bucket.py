"""The interface of buckets that output folders and leases use, the same for all stores."""

import datetime
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final, NamedTuple, Protocol, runtime_checkable

from digitmill.storage.listed_image import ListedImage

ABSENT: Final = ""
"""The version of an object that does not exist."""

RELEASED: Final = b"{}"
"""Content of a lease that nobody holds."""


class StoreError(Exception):
    """A store refused a request (`denied`: no permission) or could not be reached."""

    def __init__(self, text: str, *, hint: str, denied: bool = False) -> None:
        super().__init__(text)
        self.hint = f"{hint}: {text}"
        self.denied = denied


class LoginError(PermissionError):
    """A request had no valid login; a new token may help."""


class Level(NamedTuple):
    """The objects and folders directly below a prefix.

    Attributes:
        folders: prefixes that end in a slash.
        objects: those beside the folders.
    """

    folders: Sequence[str]
    objects: Sequence[ListedImage]


@runtime_checkable
class HasLevels(Protocol):
    """A bucket that is listed folder by folder, for stores that cannot list from a given name."""

    def level(self, prefix: str) -> Level:
        """Return the objects and folders directly below a prefix, which is empty or ends in a slash.

        Raises:
            StoreError: when the store refuses, or does not answer.
        """


class Bucket(Protocol):
    """A bucket; its objects are written completely or not at all.

    Every method raises StoreError when the store refuses, or does not answer within the bucket's patience.
    """

    def list(self, prefix: str, *, most: int | None = None, after: str = "") -> Iterator[ListedImage]:
        """Yield the objects below a prefix, empty or ending in a slash, in the store's own order.

        With `after`, only objects with later names, which not every store supports.
        """

    def folders(self, prefix: str) -> set[str]:
        """Return the names of the folders directly below a prefix."""

    def read(self, name: str) -> bytes:
        """Return an object's bytes; raise FileNotFoundError when it does not exist."""

    def read_version(self, name: str, *, patient: bool = True) -> tuple[str, bytes] | None:
        """Return an object's version and the bytes of that version; None when there is none."""

    def written(self, name: str) -> datetime.datetime | None:
        """Return when an object was written; None when there is none."""

    def write(
        self, name: str, data: bytes, *, expected: str | None = None, patient: bool = True
    ) -> str | None:
        """Write an object and return its version; write nothing and return None on a version conflict.

        A retry after a lost response may conflict with the version that the first try wrote.

        `expected` is the version to replace, `ABSENT` to create only, None to overwrite any. A patient
        request is retried and may take long, an impatient one fails within seconds.
        """

    def write_file(self, name: str, file: BinaryIO, *, replace: bool) -> bool:
        """Write an object of any size from a file; return False if one exists that may not be replaced.

        A store that has no condition for large objects may replace one that another writer has just made.
        """

    def delete(self, name: str) -> None:
        """Remove an object, which need not exist."""

    def interrupt(self) -> None:
        """End the waits of other threads' requests; those raise StorageError."""

    def release(self, name: str, version: str) -> None:
        """Remove a lease of this version, in a single try; leave one of another version.

        Writes `RELEASED` in its place where the store can't delete under a condition.
        """
