"""A worker's share of a source: decoded images of each part, in memory or in a cache folder."""

import contextlib
import dataclasses
import io
import json
import pathlib
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np

from digitmill import machine
from schemas.digit import SIDE
from schemas.errors import UserError
from schemas.failure import FailureCode, ImageError
from trainer.data.rejects import Reject
from trainer.data.splits import PARTS, Split, SplitSummary

IMAGE_BYTES: Final = SIDE * SIDE
MEMORY_SHARE: Final = 0.25
"""Share of the available memory that a source's images may take: the input pipeline copies them once."""

_INDEX: Final = "share.json"
_IMAGES, _LABELS, _POSITIONS = "images", "labels", "positions"


def fits_memory(images: int) -> bool:
    """Whether that many images may be kept in memory rather than in files."""
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


@dataclasses.dataclass(frozen=True, eq=False)
class Share:
    """What a worker read of a source.

    Attributes:
        parts: the rows of training, validation and test.
        rejects: unusable images.
        seen: number of images decoded, including the unusable ones.
        all_train: all training images decoded, including those that other workers keep.
    """

    parts: dict[str, Rows]
    rejects: list[Reject]
    seen: int
    all_train: SplitSummary

    def to_json(self) -> dict[str, Any]:
        """Return everything but the rows, as JSON types."""
        rejects = [(name, error.code, error.detail) for name, error in self.rejects]
        return {"seen": self.seen, "all_train": dataclasses.astuple(self.all_train), "rejects": rejects}

    @classmethod
    def from_json(cls, parts: dict[str, Rows], fields: Mapping[str, Any]) -> "Share":
        """Return the share with these rows; inverse of `to_json`."""
        counts, content = fields["all_train"]
        rejects = [(name, ImageError(FailureCode(code), detail)) for name, code, detail in fields["rejects"]]
        return cls(parts, rejects, fields["seen"], SplitSummary(tuple(counts), content))


def merge(share: Share, exchange: Callable[[bytes], Sequence[bytes]]) -> Share:
    """Return a worker's share with the held-out images, rejects and count of all workers.

    Args:
        share: what this worker read.
        exchange: sends this worker's bytes to all workers, and returns those of every worker, in order.
    """
    received = [_unpack(data) for data in exchange(_pack(share))]
    parts = {PARTS[0]: share.parts[PARTS[0]]}
    for part in PARTS[1:]:
        columns = zip(*(one.parts[part] for one in received), strict=True)
        rows = Rows(*map(np.concatenate, columns))
        parts[part] = rows.take(np.argsort(rows.positions, kind="stable"))
    return Share(
        parts,
        rejects=[reject for one in received for reject in one.rejects],
        seen=sum(one.seen for one in received),
        all_train=sum((one.all_train for one in received), start=SplitSummary.empty()),
    )


def _pack(share: Share) -> bytes:
    rest = json.dumps(share.to_json()).encode()
    arrays = {
        f"{part} {field}": column
        for part in PARTS[1:]
        for field, column in share.parts[part]._asdict().items()
    }
    packed = io.BytesIO()
    np.savez(packed, rest=np.frombuffer(rest, np.uint8), **arrays)
    return packed.getvalue()


def _unpack(packed: bytes) -> Share:
    """Return a worker's share without its training images."""
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        rest = json.loads(arrays["rest"].tobytes())
        parts = {part: Rows(*(arrays[f"{part} {field}"] for field in Rows._fields)) for part in PARTS[1:]}
    return Share.from_json(parts, rest)


class ShareWriter:
    """Collects rows while they are decoded.

    Args:
        folder: where to write images to files; None to keep them in memory.
    """

    def __init__(self, folder: pathlib.Path | None = None) -> None:
        self._rejects: list[Reject] = []
        self._seen = 0
        self._all_train = SplitSummary.empty()
        self._rows: dict[str, list[Rows]] = {part: [] for part in PARTS}
        self._images: dict[str, BinaryIO] = {
            part: (folder / f"{part}.{_IMAGES}").open("wb") if folder else io.BytesIO() for part in PARTS
        }

    def add(self, part: str, rows: Rows) -> None:
        """Add rows to a part; positions must ascend from call to call."""
        # In memory, it grows in place: the kernel remaps large blocks without copying.
        self._images[part].write(np.ascontiguousarray(rows.images).data)
        self._rows[part].append(rows._replace(images=rows.images[:0], labels=rows.labels.astype(np.uint8)))

    def count(self, *, seen: int, rejects: list[Reject]) -> None:
        """Add a number of images decoded, and those of them that are unusable."""
        self._seen += seen
        self._rejects += rejects

    def add_to_summary(self, rows: Rows) -> None:
        """Add training images to the census, whichever worker keeps them."""
        self._all_train += SplitSummary.of(Split(rows.images, rows.labels.astype(np.uint8)))

    def finish(self) -> Share:
        """Return the collected share."""
        parts = {part: self._finished(part) for part in PARTS}
        return Share(parts, self._rejects, self._seen, self._all_train)

    def _finished(self, part: str) -> Rows:
        labels = np.concatenate([np.empty(0, np.uint8), *(rows.labels for rows in self._rows[part])])
        positions = np.concatenate([np.empty(0, np.int64), *(rows.positions for rows in self._rows[part])])
        file = self._images[part]
        if isinstance(file, io.BytesIO):
            return Rows(np.frombuffer(file.getbuffer(), np.uint8).reshape(-1, SIDE, SIDE), labels, positions)
        file.close()
        return Rows(_mapped(pathlib.Path(file.name)), labels, positions)


def _mapped(file: pathlib.Path) -> np.ndarray:
    images = file.stat().st_size // IMAGE_BYTES
    if not images:  # an empty file can't be mapped
        return np.empty((0, SIDE, SIDE), np.uint8)
    return np.memmap(file, np.uint8, mode="r", shape=(images, SIDE, SIDE))


class ShareCache:
    """Shares on disk, one sub-folder each, named by a hash of what they were made from."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def get(self, key: str) -> Share | None:
        """Return the share of a key, in memory if it fits; None if there is no complete one."""
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
        images = sum(len(rows.labels) for rows in parts.values())
        if fits_memory(images):
            parts = {part: rows._replace(images=np.array(rows.images)) for part, rows in parts.items()}
        return Share.from_json(parts, index)

    def create(self, key: str, *, images: int, fill: Callable[[ShareWriter], object]) -> Share:
        """Create the share of a key, complete or not at all; raise UserError if the disk has no room."""
        making = self.folder / f".making-{uuid.uuid4().hex}"
        with _reserve_space(self.folder, making, images=images):
            writer = ShareWriter(making)
            fill(writer)
            share = writer.finish()
            for part, rows in share.parts.items():
                rows.labels.tofile(making / f"{part}.{_LABELS}")
                rows.positions.tofile(making / f"{part}.{_POSITIONS}")
            text = json.dumps(share.to_json())
            (making / _INDEX).write_text(text, encoding="utf-8")
            # Two jobs that create it at once create the same: the first one wins.
            with contextlib.suppress(OSError):
                making.rename(self.folder / key)
        found = self.get(key)
        if found is None:
            raise RuntimeError(f"{self.folder / key} vanished while it was created")
        return found


def _load(folder: pathlib.Path, part: str) -> Rows:
    labels = np.fromfile(folder / f"{part}.{_LABELS}", np.uint8)
    positions = np.fromfile(folder / f"{part}.{_POSITIONS}", np.int64)
    return Rows(_mapped(folder / f"{part}.{_IMAGES}"), labels, positions)


@contextlib.contextmanager
def _reserve_space(folder: pathlib.Path, making: pathlib.Path, *, images: int) -> Iterator[None]:
    """Context with a temporary folder in the cache that has room for the images."""
    try:
        making.mkdir(parents=True)
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
            "cannot write the cache folder",
            value=str(error.filename or folder),
            hint=f"name another --cache-dir: {error.strerror}",
        ) from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
