"""Groups blocks of names or rows by bucket: by the runner's own shuffle, or on this machine's disk.

Beam's DirectRunner groups in memory: a merge of four million images would take eight gigabytes there.
"""

import dataclasses
import errno
import marshal
import tempfile
import threading
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import apache_beam as beam
from apache_beam.utils.shared import Shared

from schemas.errors import StorageError

Block = tuple[int, str, bytes]
"""Number of a run, kind of the content, and the content."""

_HELD: Final = 64 * 2**20
"""Bytes of blocks to hold in memory before writing them to disk."""

_OVERHEAD: Final = 200
"""Memory overhead of a block, in bytes."""

_NOTHING: Final[Block] = (-1, "", b"")
_COMPRESSED: Final = "compressed "
"""Prefix of the kind of a compressed block."""


class Spill:
    """Blocks by bucket in a temporary file, which the system deletes when this process ends. Thread-safe.

    Args:
        held: bytes of blocks to hold in memory before writing them to disk.
    """

    def __init__(self, buckets: int, *, held: int = _HELD) -> None:
        self.buckets = buckets
        self._most = held
        self._file = tempfile.TemporaryFile(prefix="digitmill-")  # noqa: SIM115 - lives as long as the spill
        self._lock = threading.Lock()
        self._size = self._end = 0
        self._blocks: list[list[Block]] = [[] for _ in range(buckets)]
        # Positions of each bucket's pieces: alternating start and length.
        self._pieces = [array("q") for _ in range(buckets)]

    def add(self, bucket: int, block: Block) -> None:
        """Add a block.

        Raises:
            StorageError: when the disk is full.
        """
        with self._lock:
            self._blocks[bucket].append(block)
            self._size += len(block[2]) + _OVERHEAD
            if self._size > self._most:
                self._write()

    def blocks(self, bucket: int) -> Iterator[Block]:
        """Yield a bucket's blocks, in the order in which they were added."""
        pieces = self._pieces[bucket]
        for start, length in zip(pieces[::2], pieces[1::2], strict=True):
            with self._lock:
                self._file.seek(start)
                data = self._file.read(length)
            yield from marshal.loads(zlib.decompress(data))
        yield from self._blocks[bucket]

    def _write(self) -> None:
        self._file.seek(self._end)
        for bucket, blocks in enumerate(self._blocks):
            if blocks:
                # Compress many blocks together: a single one is too small to compress well.
                data = zlib.compress(marshal.dumps(blocks), 1)
                self._write_piece(data)
                self._pieces[bucket].extend((self._end, len(data)))
                self._end += len(data)
                self._blocks[bucket] = []
        self._size = 0

    def _write_piece(self, data: bytes) -> None:
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
            raise StorageError(
                f"cannot write temporary files ({reason})",
                value=tempfile.gettempdir(),
                hint="make room there, or name another folder by TMPDIR",
            ) from error


@dataclasses.dataclass(frozen=True)
class _Spilled:
    """The blocks of one bucket of a spill; can be iterated several times."""

    spill: Shared
    bucket: int

    def __iter__(self) -> Iterator[Block]:
        return _held(self.spill).blocks(self.bucket)


def group_blocks(blocks: Sequence[beam.PCollection], buckets: int, spill: Shared | None) -> beam.PCollection:
    """Group pairs of bucket and block by bucket; every bucket appears once. Read the result by `read_blocks`.

    Args:
        blocks: collections of pairs of bucket and block.
        buckets: number of buckets.
        spill: holds a `Spill` if all steps run once, in one process; None for the runner's shuffle.
    """
    if spill is not None:
        # Write each collection separately: Beam's DirectRunner holds all inputs of a Flatten in memory.
        written = tuple(
            each | f"Spill{number}" >> beam.FlatMap(_add, spill) for number, each in enumerate(blocks)
        )
        return (
            written
            | "Nothing" >> beam.Flatten()
            # The list is empty, but complete only when everything is written.
            | "Written" >> beam.combiners.ToList()
            | "Spilled" >> beam.FlatMap(_spilled, spill, buckets=buckets)
        )
    # Create every bucket, even without names, so that a missing one is detected.
    empty = blocks[0].pipeline | "Buckets" >> beam.Create([(bucket, _NOTHING) for bucket in range(buckets)])
    packed = tuple(
        each | f"Compress{number}" >> beam.MapTuple(_compressed) for number, each in enumerate(blocks)
    )
    return (*packed, empty) | "Blocks" >> beam.Flatten() | "ByBucket" >> beam.GroupByKey()


def shared_spill(spill: Spill) -> Shared:
    """Return a handle that Beam steps in this process use to reach a spill; the caller keeps the spill."""
    shared = Shared()
    shared.acquire(lambda: spill)
    return shared


def _held(spill: Shared) -> Spill:
    return spill.acquire(_lost)


def _lost() -> Spill:
    raise RuntimeError("the spilled blocks belong to another process")


def _add(element: tuple[int, Block], spill: Shared) -> Iterator[None]:
    _held(spill).add(*element)
    yield from ()


def _spilled(_: list, spill: Shared, *, buckets: int) -> Iterator[tuple[int, Iterable[Block]]]:
    for bucket in range(buckets):
        yield bucket, _Spilled(spill, bucket)


def _compressed(bucket: int, block: Block) -> tuple[int, Block]:
    run, kind, data = block
    return bucket, (run, _COMPRESSED + kind, zlib.compress(data, 1))


def read_blocks(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield the original blocks of a bucket that `group_blocks` returned."""
    # Not a Beam step: it would have to emit all blocks of a bucket as one element.
    for run, kind, data in blocks:
        if kind.startswith(_COMPRESSED):
            yield run, kind.removeprefix(_COMPRESSED), zlib.decompress(data)
        elif data:
            yield run, kind, data
