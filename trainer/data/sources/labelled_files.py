"""Reads and decodes labelled image files in parallel."""

import collections
import concurrent.futures
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np

from digitmill import machine
from digitmill.imaging.batch import decode_batch
from schemas.failure import FailureCode, ImageError
from trainer.data.reading import DecodedBatch, ReadPlan, Shard
from trainer.files.files import File, in_cloud, read_image

_CHUNK: Final = 1_024
_CLOUD_CHUNK: Final = 64
"""Objects per thread and chunk: small, so that many threads wait for the network at once."""

_CLOUD_THREADS: Final = 32

T = TypeVar("T")
R = TypeVar("R")


class LabelledFile(NamedTuple):
    """An image file with its label.

    Attributes:
        file: the file.
        label: the digit it shows.
        sha256: expected SHA-256 of its bytes, hexadecimal; empty if unknown.
        content: its bytes, if they were given along with its name; then no file is read.
    """

    file: File
    label: int
    sha256: str = ""
    content: bytes = b""


def read_plan(name: str, files: Sequence[LabelledFile]) -> ReadPlan:
    """Returns the plan of image files that are split by their pixels."""
    return ReadPlan(name, len(files), made_from=files, batches=lambda shard: _batches(files, shard))


def _batches(files: Sequence[LabelledFile], shard: Shard) -> Iterator[DecodedBatch]:
    mine = np.arange(shard[0], len(files), shard[1])
    cloud = any(in_cloud(one.file.place) for one in (*files[:1], *files[-1:]) if not one.content)
    size = _CLOUD_CHUNK if cloud else _CHUNK
    chunks = (mine[start : start + size] for start in range(0, len(mine), size))
    # Threads: reading waits for the disk or the network, and decoding releases the interpreter lock.
    threads = _CLOUD_THREADS if cloud else machine.cpu_count()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        yield from _map_ordered(pool, lambda chunk: _decoded(files, chunk), chunks, ahead=2 * threads)


def _decoded(files: Sequence[LabelledFile], chunk: np.ndarray) -> DecodedBatch:
    chosen = [files[position] for position in chunk]
    return DecodedBatch(
        positions=chunk,
        names=[one.file.place for one in chosen],
        labels=np.array([one.label for one in chosen], np.int64),
        decoded=decode_batch(map(_content, chosen), len(chosen)),
    )


def _content(one: LabelledFile) -> bytes | ImageError:
    if one.content:
        return one.content
    content = read_image(one.file)
    if one.sha256 and isinstance(content, bytes):
        found = hashlib.sha256(content).hexdigest()
        if found != one.sha256:
            return ImageError(FailureCode.CHANGED, f"its SHA-256 is {found}, {one.sha256} was written down")
    return content


def _map_ordered(
    pool: concurrent.futures.ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T], *, ahead: int
) -> Iterator[R]:
    """Yields results in order, with at most that many items in progress ahead of them."""
    # Executor.map would submit all items, and keep all results, at once.
    pending: collections.deque[concurrent.futures.Future[R]] = collections.deque()
    for item in items:
        pending.append(pool.submit(work, item))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
