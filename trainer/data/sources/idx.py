"""`--data idx:DIR`: MNIST's four IDX files, and other sets in the same format."""

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping
from typing import Final, NoReturn

import numpy as np

from digitmill.imaging.batch import DigitBatch, canonical_batch
from digitmill.storage import ListedImage
from digitmill.storage.names import place_of
from digitmill.storage.object_stores.uris import is_object
from schemas.digit import NOT_A_DIGIT
from schemas.errors import UserError
from trainer.data.reading import (
    ALONE,
    DecodedBatch,
    ReadOptions,
    ReadPlan,
    Shard,
    Workers,
    read,
    refused_label,
)
from trainer.data.sources.folder import visible_files
from trainer.data.sources.idx_format import open_idx, read_labels
from trainer.data.splits import PARTS, Digits, held_out

_NAME: Final = re.compile(
    r"(?P<set>.*?)(?P<part>train|t10k|test)[-_.](?P<kind>images|labels)([-_.]idx[13])?([-_.]ubyte)?(\.gz)?"
)
"""`train-images-idx3-ubyte.gz`, `t10k-labels.idx1-ubyte`, `emnist-digits-test-images-idx3-ubyte`."""

_TRANSPOSED: Final = re.compile(r"emnist", re.IGNORECASE)
"""Sets whose images are stored transposed."""

_CHUNK: Final = 1_024
_TRAIN, _VALIDATION, _TEST = range(len(PARTS))


@dataclasses.dataclass(frozen=True)
class _Files:
    """The four files of a set."""

    set: str
    train_images: ListedImage
    train_labels: ListedImage
    test_images: ListedImage
    test_labels: ListedImage


class IdxSource:
    """IDX files of training and test images and their labels, gzipped or not.

    Args:
        path: the folder, local or in a bucket. If it holds several sets, it is followed by the prefix of one
            set's file names: `DIR/emnist-digits`.

    Raises:
        UserError: if the folder doesn't hold the four files of one set.
    """

    def __init__(self, path: str, reading: ReadOptions | None = None) -> None:
        self.name = f"idx:{path}"
        self._reading = reading or ReadOptions()
        self._files = _find(path)

    def read(self, *, validation_fraction: float, workers: Workers = ALONE) -> Digits:
        """Read the files, and hold out a share of the training images."""
        train, test = read_labels(self._files.train_labels), read_labels(self._files.test_labels)
        parts = np.concatenate(
            [np.where(held_out(train, validation_fraction), _VALIDATION, _TRAIN), np.full(len(test), _TEST)]
        ).astype(np.uint8)
        plan = ReadPlan(
            self.name,
            len(parts),
            made_from=[self._files, validation_fraction],
            chunks=lambda shard: self._batches(np.concatenate([train, test]), parts, shard),
        )
        return read(plan, reading=self._reading, workers=workers)

    def _batches(self, labels: np.ndarray, parts: np.ndarray, shard: Shard) -> Iterator[DecodedBatch]:
        trained = int((parts != _TEST).sum())
        for file, start, stop in (
            (self._files.train_images, 0, trained),
            (self._files.test_images, trained, len(labels)),
        ):
            for row, pictures in _pictures(file, images=stop - start):
                rows = row + np.arange(len(pictures))
                mine = (start + rows) % shard[1] == shard[0]
                where = start + rows[mine]
                yield DecodedBatch(
                    where,
                    [f"{place_of(file.uri)}[{number}]" for number in rows[mine]],
                    labels[where].astype(np.int64),
                    self._decoded(pictures[mine], labels[where]),
                    parts[where],
                )

    def _decoded(self, pictures: np.ndarray, labels: np.ndarray) -> DigitBatch:
        batch = canonical_batch(
            pictures.transpose(0, 2, 1) if _TRANSPOSED.match(self._files.set) else pictures
        )
        # Sets of letters number their classes on: there, 10 is one of them.
        for slot in np.flatnonzero(labels == NOT_A_DIGIT):
            batch.errors[slot] = refused_label(labels[slot])
        return batch


def _pictures(file: ListedImage, *, images: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the index of the first row, and images uint8[n, height, width]."""
    with open_idx(file, dimensions=3) as opened:
        if opened.shape[0] != images:
            raise UserError(
                "the numbers of images and labels differ",
                value=f"{opened.shape[0]} images in {place_of(file.uri)} for {images} labels",
                hint="fetch both files again",
            )
        row = 0
        for pictures in opened.rows(_CHUNK):
            yield row, pictures
            row += len(pictures)


def folder_of(path: str) -> str:
    """Return the folder of a path, which may end in the prefix of one set's file names."""
    return _listed(path)[0]


def _find(path: str) -> _Files:
    _, sets = _listed(path)
    if len(sets) != 1:
        which = ", ".join(sorted(sets))
        _refuse(path, f"name one set of it: idx:{path}/SET, of {which}" if sets else "check the folder")
    ((name, files),) = sets.items()
    missing = [wanted for wanted in _WANTED if wanted not in files]
    if missing:
        part, kind = missing[0]
        _refuse(path, f"add the {kind} of {part}: {name}{part}-{kind}-idx{_WANTED[part, kind]}-ubyte.gz")
    return _Files(name, *(files[wanted] for wanted in _WANTED))


_WANTED: Final[Mapping[tuple[str, str], int]] = {
    ("train", "images"): 3,
    ("train", "labels"): 1,
    ("t10k", "images"): 3,
    ("t10k", "labels"): 1,
}
"""Part and kind of each file, and its number of dimensions."""


def _listed(path: str) -> tuple[str, dict[str, dict[tuple[str, str], ListedImage]]]:
    """Return the folder of a path, and the sets there that it may name, as `_sets` does."""
    sets = _sets(path)
    if sets or path.endswith("/"):
        return path, sets
    folder, _, start = path.rpartition("/")
    named = {name: files for name, files in _sets(folder or ".").items() if name.startswith(start)}
    return folder or ".", named


def _sets(folder: str) -> dict[str, dict[tuple[str, str], ListedImage]]:
    """Return the sets in a folder by the prefix of their file names; prefers unzipped files."""
    if not is_object(folder) and not os.path.isdir(folder):
        return {}
    found: dict[str, dict[tuple[str, str], ListedImage]] = {}
    files = [file for within, file in visible_files(folder) if not within]
    named = [(place_of(file.uri).rpartition("/")[2], file) for file in files]
    for name, file in sorted(named, key=lambda one: (one[0].endswith(".gz"), one[0])):
        matched = _NAME.fullmatch(name)
        if matched:
            part = "train" if matched["part"] == "train" else "t10k"
            found.setdefault(matched["set"], {}).setdefault((part, matched["kind"]), file)
    return found


def _refuse(path: str, hint: str) -> NoReturn:
    raise UserError(
        "the folder lacks one of the files train-images-idx3-ubyte, train-labels-idx1-ubyte, "
        "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, or holds several sets of them",
        value=path,
        hint=hint,
    )
