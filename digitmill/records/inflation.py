"""Streams that may be gzipped, with a limit on their inflated size.

A gzip file of one megabyte can contain a gigabyte of zeros. `InflatedStream` inflates a little at a time and
rejects a file that inflates to far more than images ever do. `Inflation` keeps the count, for zip files too.
"""

import gzip
import zlib
from typing import BinaryIO, Final, Protocol

from schemas.failure import MAX_BYTES, FailureCode, ImageError

GZIP_MAGIC: Final = b"\x1f\x8b\x08"

MAX_RATIO: Final = 200
"""Times its own size that a file may inflate to. Packed digits and paper reach 50, deflate 1,032."""

FREE_BYTES: Final = 8 * MAX_BYTES
"""Inflated bytes that are always allowed: half a second of work."""


class Stream(Protocol):
    """Interface of a file that is read from front to back."""

    def read(self, size: int, /) -> bytes:
        """Return the next `size` bytes; fewer only at the end, or if the next call raises an error."""


class Inflation:
    """Counts the bytes that one file has inflated to, and enforces the limit."""

    def __init__(self) -> None:
        self._inflated = 0
        self._packed = 0

    def add(self, inflated: int, *, packed: int) -> None:
        """Count `packed` bytes of the file and the bytes that they inflated to.

        Raises:
            ImageError: TOO_LARGE beyond the limit.
        """
        self._inflated += inflated
        self._packed += packed
        if self._inflated > max(FREE_BYTES, MAX_RATIO * self._packed):
            raise ImageError(
                FailureCode.TOO_LARGE,
                f"{self._packed:,} bytes inflate to more than {self._inflated:,}; "
                f"the limit is {MAX_RATIO} times as many",
            )


class InflatedStream:
    """The content of a gzip file, in bounded memory.

    Content before damage can be read. Damage raises ImageError CORRUPT, and too much content TOO_LARGE.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inflated = gzip.GzipFile(fileobj=file, mode="rb")
        self._inflation = Inflation()
        self._error: ImageError | None = None

    def read(self, size: int, /) -> bytes:
        """Return the next `size` bytes; fewer only at the end, or if the next call raises an error.

        Raises:
            ImageError: CORRUPT or TOO_LARGE.
        """
        pieces: list[bytes] = []
        try:
            while size > 0 and self._error is None and (piece := self._read_some(size)):
                pieces.append(piece)
                size -= len(piece)
        except ImageError as error:
            self._error = error
        if self._error is not None and not pieces:
            raise self._error
        return b"".join(pieces)

    def _read_some(self, size: int) -> bytes:
        before = self._file.tell()
        try:
            self._inflated.peek(1)  # fills the buffer; without it read1 inflates `size` bytes at a time
            data = self._inflated.read1(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ImageError(FailureCode.CORRUPT, f"the gzip data is damaged: {error}") from error
        self._inflation.add(len(data), packed=self._file.tell() - before)
        return data


def open_stream(file: BinaryIO) -> Stream:
    """Open the content of a file, from its start, as a stream; inflates gzip."""
    magic = file.read(len(GZIP_MAGIC))
    file.seek(0)
    return InflatedStream(file) if magic == GZIP_MAGIC else file
