"""`folder:PATH`: one sub-folder per label, images of any kind that `imaging` accepts."""

import concurrent.futures
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from imaging.batch import decode_batch
from imaging.errors import ImageError
from imaging.header import MAX_BYTES
from schemas.digit import CLASSES
from schemas.errors import UserError
from schemas.failure import FailureCode
from trainer.data import rejects
from trainer.data.splits import Digits, Split

TRAIN_SHARE: Final = 0.8
VALIDATION_SHARE: Final = 0.1
"""The rest is for the test."""

_LABELS = tuple(str(label) for label in range(CLASSES))
_CHUNK = 1_024


class FolderSource:
    """A folder of labelled images.

    Which split an image falls into follows from its canonical pixels alone: files may be added,
    removed or renamed and no other image changes sides, and copies of one image stay together. The
    price is that shares are met on average only, so a small class may have no image in the
    validation or the test split; that is said, and refused only where nothing would be left to
    train a class on or to test with.

    Args:
        path: the folder; its sub-folders are named 0 to 9, and files are found in them at any depth.

    Raises:
        UserError: when it is no such folder.
    """

    def __init__(self, path: str) -> None:
        self._path = pathlib.Path(path)
        _check_label_folders(self._path)

    def read(self, *, validation_fraction: float) -> Digits:
        """Decodes every image and divides them; the folder's own shares hold, whatever the fraction."""
        del validation_fraction
        name = f"folder:{self._path}"
        files = [(file, label) for label in _LABELS for file in _files(self._path / label)]
        print(f"{name}: reading {len(files):,} images", flush=True)
        images, errors = _decode([file for file, _ in files])
        bad = [
            (str(file), error) for (file, _), error in zip(files, errors, strict=True) if error is not None
        ]
        rejects.report(bad, images=len(files), source=name)
        labels = np.array([int(label) for _, label in files], np.uint8)
        good = np.array([error is None for error in errors], bool)
        return divide(name, Split(images[good], labels[good]))


@dataclasses.dataclass(frozen=True)
class _Listing:
    folders: frozenset[str]
    loose: tuple[str, ...]


def _check_label_folders(path: pathlib.Path) -> None:
    listing = _list(path)
    strange = sorted(listing.folders - set(_LABELS))
    if strange:
        _refuse(path, f"rename or move {_few(strange)}")
    missing = sorted(set(_LABELS) - listing.folders)
    if missing:
        _refuse(path, f"add sub-folders for the labels {_few(missing)}")
    empty = [label for label in _LABELS if next(_files(path / label), None) is None]
    if empty:
        _refuse(path, f"put images into the empty sub-folders {_few(empty)}")
    if listing.loose:
        print(f"folder:{path}: not used, since outside the label folders: {_few(listing.loose)}", flush=True)


def _list(path: pathlib.Path) -> _Listing:
    try:
        entries = [entry for entry in os.scandir(path) if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(
            "folder:PATH names a local folder that can be read",
            got=str(path),
            remedy=f"check the path: {error.strerror}",
        ) from error
    folders = frozenset(entry.name for entry in entries if entry.is_dir())
    return _Listing(folders, tuple(sorted(entry.name for entry in entries if entry.name not in folders)))


def _refuse(path: pathlib.Path, remedy: str) -> None:
    raise UserError(
        "a folder of labelled images has the sub-folders 0 to 9, each with images and no others",
        got=str(path),
        remedy=remedy,
    )


def _few(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def _files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields the files of a folder at any depth in a fixed order, hidden ones left out."""
    for root, folders, names in os.walk(folder, onerror=_refuse_closed):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield pathlib.Path(root, name)


def _refuse_closed(error: OSError) -> None:
    raise UserError(
        "every folder of labelled images can be listed",
        got=error.filename,
        remedy=f"grant access or move it: {error.strerror}",
    ) from error


def _decode(files: Sequence[pathlib.Path]) -> tuple[np.ndarray, list[ImageError | None]]:
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    # Threads: reading waits for the disk and decoding releases the interpreter lock.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        batches = list(pool.map(lambda chunk: decode_batch(map(_content, chunk), len(chunk)), chunks))
    errors = [error for batch in batches for error in batch.errors]
    return np.concatenate([batch.digits for batch in batches]), errors


def _content(file: pathlib.Path) -> bytes | ImageError:
    try:
        if not file.is_file() and file.exists():
            # Opening a pipe that nobody writes to would wait for ever.
            return ImageError(FailureCode.UNREADABLE, "not a regular file")
        with file.open("rb") as opened:
            # One byte more than is accepted: enough to be rejected as too large, whatever the size.
            return opened.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        return ImageError(FailureCode.MISSING, _said(error))
    except PermissionError as error:
        return ImageError(FailureCode.DENIED, _said(error))
    except OSError as error:
        return ImageError(FailureCode.UNREADABLE, _said(error))


def _said(error: OSError) -> str:
    return error.strerror or type(error).__name__


def split_positions(images: np.ndarray) -> np.ndarray:
    """Returns each image's place in [0, 1), which decides its split: a hash of its pixels.

    Args:
        images: uint8[N, 28, 28] canonical digits.

    Returns:
        float64[N]; equal images have equal places, whatever else is in the folder.
    """
    heads = (hashlib.sha256(image.tobytes()).digest()[:6] for image in images)
    return np.fromiter((int.from_bytes(head) / 2**48 for head in heads), np.float64, len(images))


def divide(name: str, everything: Split) -> Digits:
    """Returns the source's splits: each image's side follows from its pixels.

    Raises:
        UserError: when too few images are left to train or to test with.
    """
    place = split_positions(everything.images)
    parts = {
        "train": everything.take(place < TRAIN_SHARE),
        "validation": everything.take((place >= TRAIN_SHARE) & (place < TRAIN_SHARE + VALIDATION_SHARE)),
        "test": everything.take(place >= TRAIN_SHARE + VALIDATION_SHARE),
    }
    _check_enough(name, parts)
    validation = parts["validation"] if len(parts["validation"]) else None
    return Digits(name, parts["train"], validation, parts["test"])


def _check_enough(name: str, parts: dict[str, Split]) -> None:
    counts = {split: part.class_counts() for split, part in parts.items()}
    untrained = [label for label in _LABELS if counts["train"][int(label)] == 0]
    if untrained or not len(parts["test"]):
        lacking = f"to train {_few(untrained)} on" if untrained else "to test with"
        raise UserError(
            "each image goes by its pixels to training (80 %), validation (10 %) or test (10 %)",
            got=name,
            remedy=f"add more images: none is left {lacking}",
        )
    for split in ("validation", "test"):
        absent = [label for label in _LABELS if counts[split][int(label)] == 0]
        if absent:
            print(f"{name}: no {split} image for {_few(absent)}: add more images", flush=True)
