"""`--data folder:PATH`: images in one sub-folder per label."""

import itertools
import operator
import os
from collections.abc import Iterator, Sequence
from typing import Final, NoReturn

from digitmill.storage import ListedImage, NothingFoundError, list_place, uri_of_place
from digitmill.storage.junk import is_junk
from digitmill.storage.names import path_hint, place_of
from digitmill.storage.object_stores.uris import is_object
from schemas.digit import CLASSES
from schemas.errors import UserError
from schemas.labels import CLASS_NUMBERS, UNREADABLE
from trainer.data.reading import ALONE, ReadOptions, Workers, read
from trainer.data.sources.file_list import FileList, LabeledFile
from trainer.data.sources.labeled_files import read_plan
from trainer.data.splits import Digits

CREDIT_FILE: Final = "CREDIT.txt"
"""File beside a source's images: its first lines are the name of the data, its license, and its credit."""

LABELS: Final = tuple(str(label) for label in range(CLASSES))


class FolderSource:
    """A folder of labeled images, local or in a bucket.

    The split of an image depends only on its canonical pixels: adding, removing or renaming files does not
    move other images, and copies stay together. Split sizes are exact only on average, so a small class may
    have no validation or test image, which is printed. Reading fails if a class has no training image, or if
    there is no test image.

    Args:
        path: the folder, with sub-folders 0 to 9, and `unreadable` for pictures that are no digit, which are
            searched recursively. Beside other sources, and to evaluate, digits may be missing.

    Raises:
        UserError: if the folder can't be read, or has other sub-folders.
    """

    def __init__(self, path: str, reading: ReadOptions | None = None) -> None:
        self._path = path
        self._reading = reading or ReadOptions()
        self._files: FileList | None = None
        if not is_object(path):
            # On disk, only the sub-folders are listed here.
            self._check_names(*_entries(path))
        elif self._reading.lists:
            # A bucket has none, and is listed once, here.
            self._files = self._listed()

    def read(self, *, validation_fraction: float, workers: Workers = ALONE) -> Digits:
        """Decode and split the images: 80 % training, 10 % validation, 10 % test, whatever the fraction."""
        del validation_fraction
        files = FileList.from_bytes(workers.from_chief(self._list_bytes))
        plan = read_plan(self.name, files, given=self._path, workers=workers)
        digits = read(plan, reading=self._reading, workers=workers)
        if self._reading.complete:
            check_split_coverage(digits)
        return digits

    def _list_bytes(self) -> bytes:
        return (self._files or self._listed()).to_bytes()

    def _listed(self) -> FileList:
        folders: set[str] = set()
        loose: list[str] = []

        def labeled() -> Iterator[LabeledFile]:
            for folder, files in itertools.groupby(visible_files(self._path), key=operator.itemgetter(0)):
                label = folder.partition("/")[0]
                folders.add(label)
                if not label:
                    loose.extend(image.uri for _, image in files)
                if (number := CLASS_NUMBERS.get(label)) is not None:
                    yield from (LabeledFile(image, number) for _, image in files)

        files = FileList.of(labeled())
        if is_object(self._path):
            self._check_names(folders - {""}, sorted(loose))
        empty = [label for label, images in zip(LABELS, files.class_counts, strict=False) if not images]
        if empty and (self._reading.complete or not any(files.class_counts)):
            _refuse(self._path, f"put images into the empty sub-folders {quote_few(empty)}")
        return files

    def _check_names(self, folders: set[str], loose: Sequence[str]) -> None:
        if strange := sorted(folders - set(CLASS_NUMBERS)):
            _refuse(self._path, f"rename or move {quote_few(strange)}")
        missing = sorted(set(LABELS) - folders)
        if missing and (self._reading.complete or not folders):
            _refuse(self._path, f"add sub-folders for the labels {quote_few(missing)}")
        if loose := [name for name in loose if name.rpartition("/")[2] != CREDIT_FILE]:
            print(f"{self.name}: not used, since outside the label folders: {quote_few(loose)}", flush=True)

    @property
    def name(self) -> str:
        """The `--data` value."""
        return f"folder:{self._path}"


def visible_files(folder: str) -> Iterator[tuple[str, ListedImage]]:
    """Yield the files of a folder at any depth, each with its top-level sub-folder; skip hidden files.

    Raises:
        UserError: when a folder cannot be listed, because missing images must not go unnoticed.
    """
    start = place_of(uri_of_place(folder)).rstrip("/") + "/"
    parent, within, is_hidden = "", "", False
    try:
        # Junk is left out of every listing.
        for image in list_place(folder if folder.endswith("/") else f"{folder}/"):
            # Of millions of files, nearly all are in the folder of the one before.
            before, _, name = image.uri.rpartition("/")
            if before != parent:
                parent, within = before, f"{place_of(before)}/".removeprefix(start).rstrip("/")
                is_hidden = any(part.startswith(".") for part in within.split("/"))
            if not is_hidden and name[:1] != ".":
                yield within, image
    except NothingFoundError:
        return


def _entries(path: str) -> tuple[set[str], list[str]]:
    try:
        entries = [entry for entry in os.scandir(path) if not _is_hidden(entry.name)]
    except OSError as error:
        raise UserError(
            f"cannot read the folder ({error.strerror})",
            value=path,
            hint=path_hint(path),
        ) from error
    folders = {entry.name for entry in entries if entry.is_dir()}
    return folders, sorted(entry.name for entry in entries if entry.name not in folders)


def _is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden or junk."""
    return name.startswith(".") or is_junk(os.fsencode(name)) or is_junk(os.fsencode(f"{name}/x"))


def _refuse(path: str, hint: str) -> NoReturn:
    raise UserError(
        f"the folder's images are not sorted into sub-folders 0 to 9 (and `{UNREADABLE}`)",
        value=path,
        hint=hint,
    )


def quote_few(names: Sequence[str], most: int = 5) -> str:
    """Return the first names, quoted, and the number of the others."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def check_split_coverage(digits: Digits, labels: Sequence[str] = LABELS) -> None:
    """Print the classes that have no validation or no test image.

    Raises:
        UserError: if a label has no training image, or there is no digit to test with.
    """
    untrained = [label for label in labels if not digits.train_counts()[int(label)]]
    if untrained or not any(digits.test.class_counts()):
        lacking = f"to train {quote_few(untrained)} on" if untrained else "to test with"
        raise UserError(
            "too few images to split into training (80 %), validation (10 %) and test (10 %)",
            value=digits.name,
            hint=f"add more images: none is left {lacking}",
        )
    for name, split in (("validation", digits.validation), ("test", digits.test)):
        counts = split.class_counts() if split is not None else (0,) * CLASSES
        if absent := [label for label in labels if not counts[int(label)]]:
            print(f"{digits.name}: no {name} image for {quote_few(absent)}: add more images", flush=True)
