"""The IDX format of the classic MNIST files, gzipped or not.

Source: http://yann.lecun.com/exdb/mnist (magic number: two zeros, the type's code, the number of
dimensions; then each dimension's size, big-endian; then the values).
"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final, NoReturn

import numpy as np

from schemas.errors import UserError
from trainer.files.files import open_file

UNSIGNED_BYTE: Final = 0x08

_GZIP: Final = b"\x1f\x8b"
_MAX_VALUES: Final = 2**40
"""A header with more values is taken for damaged."""


class IdxFile:
    """An open IDX file of unsigned bytes; a context manager.

    Attributes:
        shape: sizes of the dimensions.

    Raises:
        UserError: if it isn't an IDX file of unsigned bytes.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        raw = open_file(place)
        self._zipped = raw.read(2) == _GZIP
        raw.seek(0)
        self._raw = raw
        # Without a mode, it takes a temporary file for one to write to.
        self._file: Any = gzip.GzipFile(fileobj=raw, mode="rb") if self._zipped else raw
        try:
            self.shape = self._header()
        except BaseException:
            raw.close()
            raise

    def __enter__(self) -> "IdxFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._raw.close()

    def rows(self, most: int) -> Iterator[np.ndarray]:
        """Yields the rows in chunks of at most `most`, uint8[n, ...].

        Raises:
            UserError: if there are fewer or more values than the header says.
        """
        size = int(np.prod(self.shape[1:], dtype=np.int64))
        for start in range(0, self.shape[0], most):
            count = min(most, self.shape[0] - start)
            data = self._read(count * size)
            if len(data) < count * size:
                self._refuse(f"it ends in row {start + len(data) // max(1, size):,} of {self.shape[0]:,}")
            yield np.frombuffer(data, np.uint8).reshape(count, *self.shape[1:])
        if self._read(1):
            self._refuse(f"it goes on behind its {self.shape[0]:,} rows")

    def _header(self) -> tuple[int, ...]:
        magic = self._read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != UNSIGNED_BYTE or not magic[3]:
            self._refuse(f"its magic number is {magic.hex() or 'missing'}")
        sizes = self._read(4 * magic[3])
        if len(sizes) < 4 * magic[3]:
            self._refuse("it ends within its header")
        shape = struct.unpack(f">{magic[3]}I", sizes)
        if np.prod(shape, dtype=np.float64) > _MAX_VALUES:
            self._refuse(f"its header speaks of {shape} values")
        return shape

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except (OSError, EOFError, zlib.error) as error:
            self._refuse(
                f"it cannot be unzipped: {error}" if isinstance(self._file, gzip.GzipFile) else str(error)
            )

    def _refuse(self, why: str) -> NoReturn:
        raise UserError(
            "an IDX file holds unsigned bytes, as many as its header says",
            value=self._place,
            hint=f"fetch it again: {why}",
        )


def open_idx(place: str, *, dimensions: int) -> IdxFile:
    """Opens an IDX file with that many dimensions.

    Raises:
        UserError: if it isn't one.
    """
    file = IdxFile(place)
    if len(file.shape) == dimensions:
        return file
    file.__exit__()
    raise UserError(
        f"an IDX file of {'labels' if dimensions == 1 else 'images'} has {dimensions} dimension(s)",
        value=f"{place} of {len(file.shape)}",
        hint="see whether images and labels were mixed up",
    )


def read_labels(place: str) -> np.ndarray:
    """Returns the values of a one-dimensional IDX file, uint8[N].

    Raises:
        UserError: if it isn't one.
    """
    with open_idx(place, dimensions=1) as file:
        return np.concatenate([np.empty(0, np.uint8), *file.rows(2**20)])
