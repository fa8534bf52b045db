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
"""Number of a run, kind of what is in it, and that."""

_HELD: Final = 64 * 2**20
"""Bytes of blocks that are in memory before they are written."""

_OVERHEAD: Final = 200
"""Bytes that a block takes in memory besides its content."""

_NOTHING: Final[Block] = (-1, "", b"")
_COMPRESSED: Final = "compressed "
"""Prefix of a kind."""


class Spill:
    """Blocks by bucket in a temporary file, which the system removes with this process. Thread-safe.

    Args:
        held: bytes of blocks in memory before they are written.
    """

    def __init__(self, buckets: int, *, held: int = _HELD) -> None:
        self.buckets = buckets
        self._most = held
        self._file = tempfile.TemporaryFile(prefix="digitmill-")  # noqa: SIM115 - lives as long as this
        self._lock = threading.Lock()
        self._size = self._end = 0
        self._blocks: list[list[Block]] = [[] for _ in range(buckets)]
        # Where each bucket's pieces lie: start and length in turns.
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
                # Many blocks at once: each alone is too small to be compressed well.
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
    """Map pairs of bucket and block to pairs of bucket and its blocks, for `read_blocks`; each bucket once.

    Args:
        blocks: collections of such pairs.
        buckets: their number.
        spill: holds a `Spill` where all steps run in one process, each once; None for the runner's shuffle.
    """
    if spill is not None:
        # Each by itself: Beam's DirectRunner holds in memory all that comes out before a Flatten.
        written = tuple(
            each | f"Spill{number}" >> beam.FlatMap(_add, spill) for number, each in enumerate(blocks)
        )
        return (
            written
            | "Nothing" >> beam.Flatten()
            # Nothing comes out of it, but it ends when everything is written.
            | "Written" >> beam.combiners.ToList()
            | "Spilled" >> beam.FlatMap(_spilled, spill, buckets=buckets)
        )
    # Every bucket exists, even if it has no names, so that a missing one is noticed.
    empty = blocks[0].pipeline | "Buckets" >> beam.Create([(bucket, _NOTHING) for bucket in range(buckets)])
    packed = tuple(
        each | f"Compress{number}" >> beam.MapTuple(_compressed) for number, each in enumerate(blocks)
    )
    return (*packed, empty) | "Blocks" >> beam.Flatten() | "ByBucket" >> beam.GroupByKey()


def shared_spill(spill: Spill) -> Shared:
    """Return what Beam's steps in this process reach a spill by; the caller keeps the spill itself."""
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
    """Yield the blocks of a bucket that `group_blocks` gave, as they were before."""
    # A step after the shuffle that did no more than this would need them all as one element.
    for run, kind, data in blocks:
        if kind.startswith(_COMPRESSED):
            yield run, kind.removeprefix(_COMPRESSED), zlib.decompress(data)
        elif data:
            yield run, kind, data
