"""What the readers of every kind of archive share: members as they come, and bounds on what reading costs."""

import gzip
from typing import BinaryIO, Final, NamedTuple, Protocol

from schemas.failure import MAX_BYTES, FailureCode, ImageError
from schemas.prediction import NO_LABEL

MAX_NAME: Final = 4_096
"""Longer names of members are not taken, bytes: what Linux takes for a path."""

MAX_RATIO: Final = 200
"""An archive that inflates to more than this many times its own bytes is read no further; packed digits
and paper inflate to 50 times at most, deflate goes up to 1,032."""

FREE_BYTES: Final = 8 * MAX_BYTES
"""Inflated bytes that are not held against an archive: half a second of work."""

_CHUNK = 2**20


class RawMember(NamedTuple):
    """One member as its archive holds it.

    Attributes:
        name: the bytes that the archive holds, no text yet.
        content: the member's bytes, or why they cannot be had.
        label: the true digit, or `NO_LABEL`.
    """

    name: bytes
    content: bytes | ImageError
    label: int = NO_LABEL


class ArchiveError(ImageError):
    """Nothing more can be read from an archive; the members that came before are not affected."""


class Stream(Protocol):
    """What archives that are read from front to back need of a file."""

    def read(self, size: int, /) -> bytes:
        """Returns the next `size` bytes, fewer only at the end."""


class Inflation:
    """The inflated bytes that one archive has cost so far, and their limit."""

    def __init__(self) -> None:
        self._inflated = 0
        self._packed = 0

    def add(self, inflated: int, *, packed: int) -> None:
        """Counts bytes that were read, and those that they inflated to.

        Raises:
            ArchiveError: TOO_LARGE.
        """
        self._inflated += inflated
        self._packed += packed
        if self._inflated > max(FREE_BYTES, MAX_RATIO * self._packed):
            raise ArchiveError(
                FailureCode.TOO_LARGE,
                f"{self._packed:,} bytes inflate to {self._inflated:,} and more; "
                f"at most {MAX_RATIO} times as many are taken",
            )


class InflatedStream:
    """The content of a gzip file. `gzip` reads in bounded memory, but without an end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inflated = gzip.GzipFile(fileobj=file, mode="rb")
        self._inflation = Inflation()

    def read(self, size: int, /) -> bytes:
        """Returns the next `size` bytes, fewer only at the end.

        Raises:
            ArchiveError: TOO_LARGE.
        """
        before = self._file.tell()
        data = self._inflated.read(size)
        self._inflation.add(len(data), packed=self._file.tell() - before)
        return data


def read_exactly(stream: Stream, size: int) -> bytes:
    """Returns the next `size` bytes, at most as many as a member or a header may have.

    Raises:
        ArchiveError: CORRUPT when there are fewer.
    """
    data = stream.read(size)
    if len(data) < size:
        raise cut_short()
    return data


def skip(stream: Stream, size: int) -> None:
    """Passes over `size` bytes without holding them.

    Raises:
        ArchiveError: CORRUPT when there are fewer.
    """
    while size > 0:
        size -= len(read_exactly(stream, min(size, _CHUNK)))


def cut_short() -> ArchiveError:
    """Returns the error of an archive that ends too early."""
    return ArchiveError(FailureCode.CORRUPT, "the archive is cut short")


def too_large(size: int) -> ImageError:
    """Returns the error of a member of `size` bytes."""
    return ImageError(FailureCode.TOO_LARGE, f"{size:,} bytes; at most {MAX_BYTES:,} are read")
