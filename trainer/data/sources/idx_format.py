"""The IDX format of the classic MNIST files, gzipped or not.

Source: http://yann.lecun.com/exdb/mnist (magic number: two zeros, the type's code, the number of
dimensions; then each dimension's size, big-endian; then the values).
"""

import contextlib
import gzip
import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final, NoReturn

import numpy as np

from digitmill.storage import ImageReader, ListedImage
from digitmill.storage.names import place_of
from schemas.errors import UserError
from schemas.failure import ImageError

UNSIGNED_BYTE: Final = 0x08

_GZIP: Final = b"\x1f\x8b"
_MAX_VALUES: Final = 2**40
"""A header with more values is taken for damaged."""


class IdxFile:
    """An open IDX file of unsigned bytes.

    Attributes:
        shape: sizes of the dimensions.
    """

    def __init__(self, place: str, file: Any) -> None:
        self._place = place
        self._file = file
        self.shape = self._header()

    def rows(self, most: int) -> Iterator[np.ndarray]:
        """Yield uint8[n, ...] of at most `most` rows; raise UserError if the file is too short or long."""
        size = int(np.prod(self.shape[1:], dtype=np.int64))
        for start in range(0, self.shape[0], most):
            count = min(most, self.shape[0] - start)
            data = self._read(count * size)
            if len(data) < count * size:
                self._refuse(f"it ends in row {start + len(data) // max(1, size):,} of {self.shape[0]:,}")
            yield np.frombuffer(data, np.uint8).reshape(count, *self.shape[1:])
        if self._read(1):
            self._refuse(f"it has data after its {self.shape[0]:,} rows")

    def _header(self) -> tuple[int, ...]:
        magic = self._read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != UNSIGNED_BYTE or not magic[3]:
            self._refuse(f"its magic number is {magic.hex() or 'missing'}")
        sizes = self._read(4 * magic[3])
        if len(sizes) < 4 * magic[3]:
            self._refuse("it ends within its header")
        shape = struct.unpack(f">{magic[3]}I", sizes)
        if np.prod(shape, dtype=np.float64) > _MAX_VALUES:
            self._refuse(f"its header announces {shape} values")
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
            "not a valid IDX file of unsigned bytes",
            value=self._place,
            hint=f"fetch it again: {why}",
        )


@contextlib.contextmanager
def open_idx(listed: ListedImage, *, dimensions: int) -> Iterator[IdxFile]:
    """Context with an IDX file; raises UserError if it is not one, or has another number of dimensions."""
    place = place_of(listed.uri)
    try:
        with ImageReader() as reader:
            raw = reader.fetch(listed)
    except ImageError as error:
        raise UserError(
            f"cannot read the file ({error})", value=place, hint="fetch or copy it again"
        ) from error
    with raw:
        is_zipped = raw.read(2) == _GZIP
        raw.seek(0)
        # Without a mode, it takes a temporary file for one to write to.
        file = IdxFile(place, gzip.GzipFile(fileobj=raw, mode="rb") if is_zipped else raw)
        if len(file.shape) != dimensions:
            raise UserError(
                f"expected an IDX file of {'labels' if dimensions == 1 else 'images'} "
                f"with {dimensions} dimension{'s' if dimensions > 1 else ''}",
                value=f"{place} of {len(file.shape)}",
                hint="check whether images and labels were swapped",
            )
        yield file


def read_labels(listed: ListedImage) -> np.ndarray:
    """Return the values of a one-dimensional IDX file, uint8[N]; raise UserError if it isn't one."""
    with open_idx(listed, dimensions=1) as file:
        return np.concatenate([np.empty(0, np.uint8), *file.rows(2**20)])
