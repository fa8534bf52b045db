"""Reads and decodes labelled image files in parallel."""

import collections
import concurrent.futures
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np

from digitmill import machine
from digitmill.imaging.batch import decode_batch
from digitmill.storage import ImageReader, ListedImage, ReadLimits
from digitmill.storage.names import place_of
from schemas.failure import FailureCode, ImageError
from trainer.data.reading import DecodedBatch, ReadPlan, Shard

_CHUNK: Final = 1_024
_CONNECTIONS: Final = 43
"""To an object store: 32 objects are read at once, since reading mostly waits for the network."""

T = TypeVar("T")
R = TypeVar("R")


class LabelledFile(NamedTuple):
    """An image file with its label.

    Attributes:
        image: the file as it was listed.
        label: the digit it shows.
        sha256: expected SHA-256 of its bytes, hexadecimal; empty if unknown.
        content: its bytes, if they were given along with its name; then no file is read.
    """

    image: ListedImage
    label: int
    sha256: str = ""
    content: bytes = b""


def read_plan(name: str, files: Sequence[LabelledFile], *, given: str) -> ReadPlan:
    """Return the plan of image files that are split by their pixels.

    Args:
        name: the `--data` value.
        files: the images, in a fixed order.
        given: the place that they were listed from; their names in messages are spelled like it.
    """
    return ReadPlan(name, len(files), made_from=files, batches=lambda shard: _batches(files, shard, given))


def _batches(files: Sequence[LabelledFile], shard: Shard, given: str) -> Iterator[DecodedBatch]:
    mine = np.arange(shard[0], len(files), shard[1])
    chunks = (mine[start : start + _CHUNK] for start in range(0, len(mine), _CHUNK))
    # Threads: reading waits for the disk or the network, and decoding releases the interpreter lock.
    threads = machine.cpu_count()
    with (
        ImageReader(ReadLimits(connections=_CONNECTIONS)) as reader,
        concurrent.futures.ThreadPoolExecutor(threads) as pool,
    ):

        def decode(chunk: np.ndarray) -> DecodedBatch:
            chosen = [files[position] for position in chunk]
            return DecodedBatch(
                positions=chunk,
                names=[place_of(one.image.uri, given) for one in chosen],
                labels=np.array([one.label for one in chosen], np.int64),
                decoded=decode_batch(_contents(chosen, reader), len(chosen)),
            )

        yield from _map_ordered(pool, decode, chunks, ahead=2 * threads)


def _contents(files: Sequence[LabelledFile], reader: ImageReader) -> Iterator[bytes | ImageError]:
    """Yield the bytes of each image in order, or the error of one that can't be read."""
    read = reader.read(one.image for one in files if not one.content)
    for one in files:
        content = one.content or next(read)
        if one.sha256 and not one.content and isinstance(content, bytes):
            found = hashlib.sha256(content).hexdigest()
            if found != one.sha256:
                content = ImageError(
                    FailureCode.CHANGED, f"its SHA-256 is {found}, {one.sha256} was written down"
                )
        yield content


def _map_ordered(
    pool: concurrent.futures.ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T], *, ahead: int
) -> Iterator[R]:
    """Yield results in order, with at most that many items in progress ahead of them."""
    # Executor.map would submit all items, and keep all results, at once.
    pending: collections.deque[concurrent.futures.Future[R]] = collections.deque()
    for item in items:
        pending.append(pool.submit(work, item))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
