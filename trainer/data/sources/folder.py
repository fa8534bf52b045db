"""`--data folder:PATH`: images in one sub-folder per label."""

import os
from collections.abc import Iterator, Sequence
from typing import Final, NoReturn

from digitmill.storage import ListedImage, NothingFoundError, list_place, uri_of_place
from digitmill.storage.junk import is_junk
from digitmill.storage.names import place_of
from digitmill.storage.object_stores.uris import is_object
from schemas.digit import CLASSES
from schemas.errors import UserError
from trainer.data.reading import ALONE, ReadOptions, Workers, read
from trainer.data.sources.labelled_files import LabelledFile, read_plan
from trainer.data.splits import Digits

LABELS: Final = tuple(str(label) for label in range(CLASSES))


class FolderSource:
    """A folder of labelled images, local or in a bucket.

    The split of an image depends only on its canonical pixels: adding, removing or renaming files moves no
    other image, and copies stay together. The shares are met on average only, so that a small class may
    have no validation or test image, which is printed. Without any training image of a class, or any test
    image, reading fails.

    Args:
        path: the folder, with sub-folders 0 to 9 that are searched recursively.

    Raises:
        UserError: if the folder can't be read, or has other sub-folders.
    """

    def __init__(self, path: str, reading: ReadOptions | None = None) -> None:
        self._path = path
        self._reading = reading or ReadOptions()
        # On disk, only the sub-folders are listed here. A bucket has none, and is listed once, here.
        self._listed = list(visible_files(path)) if is_object(path) else None
        _check_names(path, self._names())

    def read(self, *, validation_fraction: float, workers: Workers = ALONE) -> Digits:
        """Decode and split the images: 80 % training, 10 % validation, 10 % test, whatever the fraction."""
        del validation_fraction
        listed = self._listed if self._listed is not None else visible_files(self._path)
        files = [
            LabelledFile(image, int(label))
            for name, image in listed
            if (label := _first_segment(name)) in LABELS
        ]
        _check_filled(self._path, files)
        plan = read_plan(self.name, files, given=self._path)
        digits = read(plan, reading=self._reading, workers=workers)
        check_split_coverage(digits)
        return digits

    @property
    def name(self) -> str:
        """The `--data` value."""
        return f"folder:{self._path}"

    def _names(self) -> tuple[set[str], list[str]]:
        """Return the names of the sub-folders, and of the files next to them."""
        if self._listed is None:
            return _entries(self._path)
        first = [(_first_segment(name), image.uri) for name, image in self._listed]
        return {name for name, _ in first if name}, sorted(uri for name, uri in first if not name)


def visible_files(folder: str) -> Iterator[tuple[str, ListedImage]]:
    """Yield the files of a folder at any depth, with their names in it; skip hidden ones and junk.

    Raises:
        UserError: when a folder cannot be listed: a class may not lack images without a sign.
    """
    start = place_of(uri_of_place(folder)).rstrip("/") + "/"
    try:
        for image in list_place(folder if folder.endswith("/") else f"{folder}/"):
            name = place_of(image.uri).removeprefix(start)
            if not any(map(_is_hidden, name.split("/"))):
                yield name, image
    except NothingFoundError:
        return


def _is_hidden(segment: str) -> bool:
    name = os.fsencode(segment)
    return name.startswith(b".") or is_junk(name) or is_junk(name + b"/x")


def _first_segment(name: str) -> str:
    """Return the sub-folder of a file; empty for a file directly in the folder."""
    return name.rpartition("/")[0].partition("/")[0]


def _entries(path: str) -> tuple[set[str], list[str]]:
    try:
        entries = [entry for entry in os.scandir(path) if not _is_hidden(entry.name)]
    except OSError as error:
        raise UserError(
            "cannot read the folder",
            value=path,
            hint=f"check the path: {error.strerror}",
        ) from error
    folders = {entry.name for entry in entries if entry.is_dir()}
    return folders, sorted(entry.name for entry in entries if entry.name not in folders)


def _check_names(path: str, names: tuple[set[str], list[str]]) -> None:
    folders, loose = names
    if strange := sorted(folders - set(LABELS)):
        _refuse(path, f"rename or move {quote_few(strange)}")
    if missing := sorted(set(LABELS) - folders):
        _refuse(path, f"add sub-folders for the labels {quote_few(missing)}")
    if loose:
        print(f"folder:{path}: not used, since outside the label folders: {quote_few(loose)}", flush=True)


def _check_filled(path: str, files: Sequence[LabelledFile]) -> None:
    filled = {one.label for one in files}
    if empty := [label for label in LABELS if int(label) not in filled]:
        _refuse(path, f"put images into the empty sub-folders {quote_few(empty)}")


def _refuse(path: str, hint: str) -> NoReturn:
    raise UserError(
        "the folder must have sub-folders 0 to 9 with images, and no others",
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
        UserError: if a label has no training image, or there is no test image.
    """
    untrained = [label for label in labels if not digits.train_counts()[int(label)]]
    if untrained or not len(digits.test):
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
