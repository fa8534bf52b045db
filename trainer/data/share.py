"""What one worker read of a source: rows of each part, in memory or in files of a cache folder."""

import contextlib
import dataclasses
import json
import pathlib
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from digitmill import machine
from schemas.digit import SIDE
from schemas.errors import UserError
from schemas.failure import FailureCode, ImageError
from trainer.data.rejects import Reject
from trainer.data.splits import PARTS, Census, Split

IMAGE_BYTES: Final = SIDE * SIDE
MEMORY_SHARE: Final = 0.25
"""Share of the available memory that a source's images may take: the input pipeline copies them once."""

_INDEX: Final = "share.json"
_IMAGES, _LABELS, _POSITIONS = "images", "labels", "positions"


def fits_memory(images: int) -> bool:
    """Return whether so many images may stay in this process's memory rather than in files."""
    return images * IMAGE_BYTES <= MEMORY_SHARE * machine.available_in_process()


class Rows(NamedTuple):
    """Some of a source's images.

    Attributes:
        images: uint8[N, 28, 28]; an `np.memmap` where they do not fit the memory.
        labels: uint8[N].
        positions: int64[N], each image's place in the source, ascending.
    """

    images: np.ndarray
    labels: np.ndarray
    positions: np.ndarray

    def take(self, which: np.ndarray) -> "Rows":
        """Returns the rows that an index array or a mask selects."""
        return Rows(self.images[which], self.labels[which], self.positions[which])


@dataclasses.dataclass(frozen=True, eq=False)
class Share:
    """What was read.

    Attributes:
        parts: the rows of training, validation and test.
        rejects: images that cannot be used.
        seen: how many images were looked at, the unusable ones included.
        all_train: the training images that were looked at, those that other workers keep included.
    """

    parts: dict[str, Rows]
    rejects: list[Reject]
    seen: int
    all_train: Census


class ShareWriter:
    """Collects rows as they are decoded.

    Args:
        folder: where images are kept in files; None to keep them in memory.
    """

    def __init__(self, folder: pathlib.Path | None = None) -> None:
        self._folder = folder
        self._rejects: list[Reject] = []
        self._seen = 0
        self._all_train = Census.nothing()
        self._rows: dict[str, list[Rows]] = {part: [] for part in PARTS}
        self._used = dict.fromkeys(PARTS, 0)
        self._images = {part: np.empty((0, SIDE, SIDE), np.uint8) for part in PARTS}
        self._files = {part: (folder / f"{part}.{_IMAGES}").open("wb") for part in PARTS} if folder else {}

    def add(self, part: str, rows: Rows) -> None:
        """Takes rows of a part, later ones than those before."""
        start, self._used[part] = self._used[part], self._used[part] + len(rows.labels)
        if self._files:
            self._files[part].write(np.ascontiguousarray(rows.images).data)
        else:
            self._reserve(part, self._used[part])
            self._images[part][start : self._used[part]] = rows.images
        self._rows[part].append(rows._replace(images=rows.images[:0], labels=rows.labels.astype(np.uint8)))

    def count(self, *, seen: int, rejects: list[Reject]) -> None:
        """Takes how many images were looked at, and which of them cannot be used."""
        self._seen += seen
        self._rejects += rejects

    def _reserve(self, part: str, images: int) -> None:
        have = len(self._images[part])
        if images > have:
            # In place: large blocks are moved by the page tables, nothing is copied.
            self._images[part].resize((max(images, have * 3 // 2), SIDE, SIDE), refcheck=False)

    def census(self, rows: Rows) -> None:
        """Takes training images into the census, whoever keeps them."""
        self._all_train += Census.of(Split(rows.images, rows.labels.astype(np.uint8)))

    def finish(self) -> Share:
        """Returns what was collected."""
        for file in self._files.values():
            file.close()
        parts = {part: self._finished(part) for part in PARTS}
        return Share(parts, self._rejects, self._seen, self._all_train)

    def _finished(self, part: str) -> Rows:
        labels = np.concatenate([np.empty(0, np.uint8), *(rows.labels for rows in self._rows[part])])
        positions = np.concatenate([np.empty(0, np.int64), *(rows.positions for rows in self._rows[part])])
        if self._folder is None:
            self._images[part].resize((len(labels), SIDE, SIDE), refcheck=False)
            return Rows(self._images[part], labels, positions)
        return Rows(_mapped(self._folder / f"{part}.{_IMAGES}"), labels, positions)


def spelled(rejects: Sequence[Reject]) -> list[tuple[str, str, str]]:
    """Returns rejects as JSON takes them."""
    return [(name, error.code, error.detail) for name, error in rejects]


def rejects_of(spelled: Sequence[Sequence[str]]) -> list[Reject]:
    """Returns what `spelled` was given."""
    return [(name, ImageError(FailureCode(code), detail)) for name, code, detail in spelled]


def _mapped(file: pathlib.Path) -> np.ndarray:
    images = file.stat().st_size // IMAGE_BYTES
    if not images:  # an empty file cannot be mapped
        return np.empty((0, SIDE, SIDE), np.uint8)
    return np.memmap(file, np.uint8, mode="r", shape=(images, SIDE, SIDE))


class ShareCache:
    """Shares on disk, one folder each, named by what they were made from.

    Args:
        folder: where they are kept; made where it does not exist.

    Attributes:
        folder: as given.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def get(self, key: str) -> Share | None:
        """Returns the share of this key, its images in memory if they fit; None when there is none whole."""
        folder = self.folder / key
        try:
            index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
            parts = {part: _load(folder, part) for part in PARTS}
            whole = all(len({len(column) for column in rows}) == 1 for rows in parts.values())
        except (FileNotFoundError, NotADirectoryError):
            whole = False
        if not whole:
            # It appeared whole: what was cut short or removed since makes room for a new one.
            shutil.rmtree(folder, ignore_errors=True)
            return None
        images = sum(len(rows.labels) for rows in parts.values())
        if fits_memory(images):
            parts = {part: rows._replace(images=np.array(rows.images)) for part, rows in parts.items()}
        counts, content = index["all_train"]
        all_train = Census(tuple(counts), content)
        return Share(parts, rejects_of(index["rejects"]), index["seen"], all_train)

    def make(self, key: str, *, images: int, fill: Callable[[ShareWriter], object]) -> Share:
        """Makes the share of this key; it appears whole or not at all.

        Args:
            key: its name.
            images: about how many images it will hold.
            fill: writes them.

        Raises:
            UserError: when there is no room for it.
        """
        making = self.folder / f".making-{uuid.uuid4().hex}"
        with _room(self.folder, making, images=images):
            writer = ShareWriter(making)
            fill(writer)
            share = writer.finish()
            for part, rows in share.parts.items():
                rows.labels.tofile(making / f"{part}.{_LABELS}")
                rows.positions.tofile(making / f"{part}.{_POSITIONS}")
            index = {"all_train": dataclasses.astuple(share.all_train), "rejects": spelled(share.rejects)}
            text = json.dumps({"seen": share.seen, **index})
            (making / _INDEX).write_text(text, encoding="utf-8")
            # Two jobs that make it at once make the same: whoever is first wins, the other's is dropped.
            with contextlib.suppress(OSError):
                making.rename(self.folder / key)
        found = self.get(key)
        if found is None:
            raise RuntimeError(f"{self.folder / key} vanished while it was made")
        return found


def _load(folder: pathlib.Path, part: str) -> Rows:
    labels = np.fromfile(folder / f"{part}.{_LABELS}", np.uint8)
    positions = np.fromfile(folder / f"{part}.{_POSITIONS}", np.int64)
    return Rows(_mapped(folder / f"{part}.{_IMAGES}"), labels, positions)


@contextlib.contextmanager
def _room(folder: pathlib.Path, making: pathlib.Path, *, images: int) -> Iterator[None]:
    """Makes a folder for that many images within the cache's, and sees that nothing unfinished stays."""
    try:
        making.mkdir(parents=True)
        free = shutil.disk_usage(folder).free
        if free < images * IMAGE_BYTES:
            raise UserError(
                f"the cache folder has room for {images:,} images of {IMAGE_BYTES} bytes",
                got=f"{folder} with {free:,} bytes free",
                remedy="name another --cache-dir",
            )
        yield
    except OSError as error:
        raise UserError(
            "the cache folder can be written",
            got=str(error.filename or folder),
            remedy=f"name another --cache-dir: {error.strerror}",
        ) from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
