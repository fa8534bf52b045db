"""Image files with labels, decoded side by side."""

import collections
import concurrent.futures
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np

from digitmill import machine
from digitmill.imaging.batch import decode_batch
from schemas.failure import FailureCode, ImageError
from trainer.data.reading import Batch, Plan, Shard
from trainer.files.files import File, in_cloud, read_image

_CHUNK: Final = 1_024
_CLOUD_CHUNK: Final = 64
"""Objects that a thread reads one after the other: many threads wait for the network at once."""

_CLOUD_THREADS: Final = 32

T = TypeVar("T")
R = TypeVar("R")


class LabelledFile(NamedTuple):
    """An image file and what is known of it.

    Attributes:
        file: where it is.
        label: the digit that it shows.
        sha256: of its bytes, in hexadecimal; empty where nobody wrote it down.
        content: its bytes, where they came along with its name; nothing is read then.
    """

    file: File
    label: int
    sha256: str = ""
    content: bytes = b""


def plan_of(name: str, files: Sequence[LabelledFile]) -> Plan:
    """Returns what there is to read of image files whose pixels decide their parts.

    Args:
        name: the `--data` value.
        files: the images, in a fixed order.
    """
    return Plan(name, len(files), made_from=files, batches=lambda shard: _batches(files, shard))


def _batches(files: Sequence[LabelledFile], shard: Shard) -> Iterator[Batch]:
    mine = np.arange(shard[0], len(files), shard[1])
    cloud = any(in_cloud(one.file.place) for one in (*files[:1], *files[-1:]) if not one.content)
    size = _CLOUD_CHUNK if cloud else _CHUNK
    chunks = (mine[start : start + size] for start in range(0, len(mine), size))
    # Threads: reading waits for the disk or the network, and decoding releases the interpreter lock.
    threads = _CLOUD_THREADS if cloud else machine.cpu_count()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        yield from _mapped(pool, lambda chunk: _decoded(files, chunk), chunks, ahead=2 * threads)


def _decoded(files: Sequence[LabelledFile], chunk: np.ndarray) -> Batch:
    chosen = [files[position] for position in chunk]
    return Batch(
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


def _mapped(
    pool: concurrent.futures.ThreadPoolExecutor,
    work: Callable[[T], R],
    items: Iterable[T],
    *,
    ahead: int,
) -> Iterator[R]:
    """Yields results in order, working on so many items ahead of them and no more."""
    # Executor.map would take all items, and keep all results, at once.
    under_way: collections.deque[concurrent.futures.Future[R]] = collections.deque()
    for item in items:
        under_way.append(pool.submit(work, item))
        if len(under_way) > ahead:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()
