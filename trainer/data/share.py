"""A worker's share of a source: decoded images of each part, in memory or in a cache folder.

In both cases the images are in files: in the cache, or in unnamed memory files. The files are mapped, so
memory holds them once, even if many processes read them.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import io
import json
import math
import mmap
import os
import pathlib
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, NamedTuple, Self

import numpy as np

from digitmill import machine
from schemas.digit import SIDE
from schemas.errors import UserError
from schemas.failure import FailureCode, ImageError
from trainer.data.rejects import Reject
from trainer.data.splits import PARTS, SplitSummary

IMAGE_BYTES: Final = SIDE * SIDE
MEMORY_SHARE: Final = 0.5
"""Share of the available memory that a source's images may take. They are there once; the rest is for what
training needs besides (`python -m benchmarks.training_data` measures both)."""

_INDEX: Final = "share.json"
_LOCK: Final = "lock"
_MAKING: Final = ".making-"
_ROUND: Final = 2**24 // IMAGE_BYTES
"""Held-out images that a worker sends at once: all workers' are in memory together."""


def fits_memory(images: int) -> bool:
    """Whether this many images may be kept in memory rather than in files."""
    return images * IMAGE_BYTES <= MEMORY_SHARE * machine.available_in_process()


class Rows(NamedTuple):
    """Some of a source's images.

    Attributes:
        images: uint8[N, 28, 28]; an `np.memmap` if they don't fit the memory.
        labels: uint8[N].
        positions: int64[N], each image's position in the source, ascending.
    """

    images: np.ndarray
    labels: np.ndarray
    positions: np.ndarray

    def take(self, which: np.ndarray) -> "Rows":
        """Return the rows that an index array or mask selects."""
        return Rows(self.images[which], self.labels[which], self.positions[which])


_COLUMNS: Final[Mapping[str, tuple[type, tuple[int, ...]]]] = {
    "images": (np.uint8, (SIDE, SIDE)),
    "labels": (np.uint8, ()),
    "positions": (np.int64, ()),
}
"""Type and shape of a row in each column."""


@dataclasses.dataclass(frozen=True, eq=False)
class Share:
    """The images that a worker has read from a source, or from a piece of it.

    Attributes:
        parts: the rows of training, validation and test.
        rejects: unusable images.
        seen: number of images decoded, including the unusable ones.
        all_train: all training images decoded, including those that other workers keep.
        train_digest: SHA-256 of the training images and labels; None of a piece.
    """

    parts: dict[str, Rows]
    rejects: list[Reject]
    seen: int
    all_train: SplitSummary
    train_digest: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return everything but the rows, as JSON types."""
        return {
            "seen": self.seen,
            "all_train": dataclasses.astuple(self.all_train),
            "rejects": [(name, error.code, error.detail) for name, error in self.rejects],
            "train_digest": self.train_digest,
        }

    @classmethod
    def from_json(cls, parts: dict[str, Rows], fields: Mapping[str, Any]) -> Self:
        """Return the share with these rows; inverse of `to_json`."""
        rejects = [(name, ImageError(FailureCode(code), detail)) for name, code, detail in fields["rejects"]]
        summary = SplitSummary.from_json(fields["all_train"])
        return cls(parts, rejects, fields["seen"], summary, fields["train_digest"])

    def to_bytes(self) -> bytes:
        """Return the share as bytes, for another process."""
        sizes = [len(self.parts[part].labels) for part in PARTS]
        head = json.dumps({**self.to_json(), "sizes": sizes}).encode()
        columns = [
            np.ascontiguousarray(column, _COLUMNS[field][0]).tobytes()
            for part in PARTS
            for field, column in self.parts[part]._asdict().items()
        ]
        return b"".join([len(head).to_bytes(8), head, *columns])

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Self:
        """Return what `to_bytes` wrote; its arrays are read-only."""
        at = 8 + int.from_bytes(data[:8])
        fields = json.loads(bytes(data[8:at]))
        parts = {}
        for part, size in zip(PARTS, fields["sizes"], strict=True):
            columns = []
            for dtype, shape in _COLUMNS.values():
                values = size * math.prod(shape)
                columns.append(np.frombuffer(data, dtype, values, at).reshape(size, *shape))
                at += columns[-1].nbytes
            parts[part] = Rows(*columns)
        return cls.from_json(parts, fields)


def merge(
    share: Share, exchange: Callable[[bytes], Sequence[bytes]], *, files: "Callable[[int], BinaryIO]"
) -> Share:
    """Return a worker's share with the held-out images, rejects and count of all workers.

    Args:
        share: what this worker read.
        exchange: sends this worker's bytes to all workers, and returns those of every worker, in order.
        files: opens a file for so many images.
    """
    # The rows come later, in rounds: all at once might not fit the memory.
    received = [
        Share.from_json({}, json.loads(told)) for told in exchange(json.dumps(share.to_json()).encode())
    ]
    held_out = {part: _merge_rows(share.parts[part], exchange, files=files) for part in PARTS[1:]}
    return Share(
        {PARTS[0]: share.parts[PARTS[0]], **held_out},
        rejects=[reject for one in received for reject in one.rejects],
        seen=sum(one.seen for one in received),
        all_train=sum((one.all_train for one in received), start=SplitSummary.empty()),
        train_digest=share.train_digest,
    )


def _merge_rows(
    rows: Rows, exchange: Callable[[bytes], Sequence[bytes]], *, files: Callable[[int], BinaryIO]
) -> Rows:
    """Return the rows of all workers in order of their positions."""
    labels = [np.frombuffer(told, np.uint8) for told in exchange(rows.labels.tobytes())]
    positions = np.concatenate([np.frombuffer(told, np.int64) for told in exchange(rows.positions.tobytes())])
    order = np.argsort(positions, kind="stable")
    target = np.empty(len(order), np.int64)
    target[order] = np.arange(len(order))
    merged = Rows(np.empty((0, SIDE, SIDE), np.uint8), np.concatenate(labels)[order], positions[order])
    if not len(order):
        return merged
    file = files(len(order))
    images = np.memmap(file, np.uint8, mode="r+", shape=(len(order), SIDE, SIDE))
    firsts = np.cumsum([0, *map(len, labels)])
    for start in range(0, max(map(len, labels)), _ROUND):
        told = exchange(rows.images[start : start + _ROUND].tobytes())
        for first, data in zip(firsts, told, strict=False):
            some = np.frombuffer(data, np.uint8).reshape(-1, SIDE, SIDE)
            images[target[first + start : first + start + len(some)]] = some
    images.flush()
    return merged._replace(images=map_column(file, "images"))


class _MemoryFile(io.FileIO):
    """A file without a name that takes memory."""

    def __init__(self) -> None:
        super().__init__(os.memfd_create("digitmill"), "w+b")


def memory_file() -> BinaryIO:
    """Open a file without a name that takes memory."""
    return io.BufferedRandom(_MemoryFile())


def map_column(file: BinaryIO, column: str) -> np.ndarray:
    """Return a column of `Rows` from a file, read-only; an `np.memmap` unless it is a memory file."""
    dtype, shape = _COLUMNS[column]
    file.flush()
    rows = os.fstat(file.fileno()).st_size // (np.dtype(dtype).itemsize * math.prod(shape))
    if not rows:  # an empty file can't be mapped
        return np.empty((0, *shape), dtype)
    mapped = np.memmap(file, dtype, mode="r", shape=(rows, *shape))
    is_resident = isinstance(getattr(file, "raw", None), _MemoryFile)
    return np.asarray(mapped) if is_resident else mapped


class ShareWriter:
    """Collects pieces of a share while they are decoded.

    Args:
        folder: where to write rows to files; None to keep them in memory.

    Attributes:
        train_images: number of training images so far.
    """

    def __init__(self, folder: pathlib.Path | None = None) -> None:
        self.train_images = 0
        self._rejects: list[Reject] = []
        self._seen = 0
        self._all_train = SplitSummary.empty()
        self._digest = hashlib.sha256()
        self._files = {
            (part, column): (folder / f"{part}.{column}").open("w+b") if folder else memory_file()
            for part in PARTS
            for column in _COLUMNS
        }

    def add(self, piece: Share) -> None:
        """Add a piece; positions must ascend from piece to piece."""
        for part, rows in piece.parts.items():
            for name, column in rows._asdict().items():
                self._files[part, name].write(np.ascontiguousarray(column, _COLUMNS[name][0]).data)
        self._digest.update(np.ascontiguousarray(piece.parts[PARTS[0]].images).data)
        self.train_images += len(piece.parts[PARTS[0]].labels)
        self._seen += piece.seen
        self._rejects += piece.rejects
        self._all_train += piece.all_train

    def train_rows(self) -> Rows:
        """Return the training images so far, mapped; later additions do not change them."""
        return Rows(*(map_column(self._files[PARTS[0], column], column) for column in _COLUMNS))

    def finish(self) -> Share:
        """Return the collected share."""
        parts = {part: Rows(*(self._mapped(part, column) for column in _COLUMNS)) for part in PARTS}
        self._digest.update(parts[PARTS[0]].labels.data)
        return Share(parts, self._rejects, self._seen, self._all_train, self._digest.hexdigest())

    def _mapped(self, part: str, column: str) -> np.ndarray:
        with self._files[part, column] as file:
            found = map_column(file, column)
        return np.array(found) if column == "labels" else found


class ShareCache:
    """Shares on disk, one sub-folder each, named by a hash of what they were made from."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def get(self, key: str) -> Share | None:
        """Return the share of a key, mapped; None if there is no complete one."""
        folder = self.folder / key
        try:
            index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
            parts = {part: _load(folder, part) for part in PARTS}
            whole = all(len({len(column) for column in rows}) == 1 for rows in parts.values())
        except (FileNotFoundError, NotADirectoryError):
            whole = False
        if not whole:
            # It was complete once: files were truncated or removed since.
            shutil.rmtree(folder, ignore_errors=True)
            return None
        return Share.from_json(parts, index)

    def create(self, key: str, *, images: int, fill: Callable[[ShareWriter], object]) -> Share:
        """Create the share of a key, complete or not at all; raise UserError if the disk has no room."""
        _remove_abandoned(self.folder)
        with _writing(self.folder, images=images), _making(self.folder) as making:
            writer = ShareWriter(making)
            fill(writer)
            text = json.dumps(writer.finish().to_json())
            (making / _INDEX).write_text(text, encoding="utf-8")
            (making / _LOCK).unlink(missing_ok=True)
            # Two jobs that create it at once create the same: the first one wins.
            with contextlib.suppress(OSError):
                making.rename(self.folder / key)
        found = self.get(key)
        if found is None:
            raise RuntimeError(f"{self.folder / key} vanished while it was created")
        return found

    def file_for(self, images: int) -> BinaryIO:
        """Open an unnamed file for so many images: in memory if they fit, or on disk.

        Raises:
            UserError: if the disk has no room.
        """
        if fits_memory(images):
            file = memory_file()
            os.ftruncate(file.fileno(), images * IMAGE_BYTES)
            return file
        with _writing(self.folder, images=images):
            file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - the caller closes it
            # On a full disk, writing to a mapped file without room of its own would end the process: SIGBUS.
            os.posix_fallocate(file.fileno(), 0, images * IMAGE_BYTES)
            return file


def _load(folder: pathlib.Path, part: str) -> Rows:
    columns = {}
    for column in _COLUMNS:
        with (folder / f"{part}.{column}").open("rb") as file:
            columns[column] = map_column(file, column)
    images = columns["images"]
    if isinstance(images, np.memmap):
        # Ahead in one go where they fit the memory. Where they don't, reading ahead of random rows is waste.
        advice = mmap.MADV_WILLNEED if fits_memory(len(images)) else mmap.MADV_RANDOM
        images._mmap.madvise(advice)  # type: ignore[attr-defined]
    return Rows(images, np.array(columns["labels"]), columns["positions"])


@contextlib.contextmanager
def _making(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Context with a new folder for a share, which is removed unless it is renamed."""
    making = folder / f"{_MAKING}{uuid.uuid4().hex}"
    try:
        making.mkdir()
        with (making / f".{_LOCK}").open("xb") as lock:
            with contextlib.suppress(OSError):  # not every file system has locks
                fcntl.flock(lock, fcntl.LOCK_EX)
                # It appears when it is held: one that is not is a killed process's.
                (making / f".{_LOCK}").rename(making / _LOCK)
            yield making
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _remove_abandoned(folder: pathlib.Path) -> None:
    """Remove what killed processes have left of shares."""
    for making in folder.glob(f"{_MAKING}*"):
        with contextlib.suppress(OSError), (making / _LOCK).open("rb+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(making, ignore_errors=True)


@contextlib.contextmanager
def _writing(folder: pathlib.Path, *, images: int) -> Iterator[None]:
    """Context that writes images to the cache's folder; raises UserError if that can't be or lacks room."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if free < images * IMAGE_BYTES:
            raise UserError(
                f"the cache folder has no room for {images:,} images of {IMAGE_BYTES} bytes",
                value=f"{folder} with {free:,} bytes free",
                hint="name another --cache-dir",
            )
        yield
    except OSError as error:
        raise UserError(
            f"cannot write the cache folder ({error.strerror})",
            value=str(error.filename or folder),
            hint="name another --cache-dir",
        ) from error
