"""`folder:PATH`: one sub-folder per label, images of any kind that `digitmill.imaging` accepts."""

import os
from collections.abc import Sequence
from typing import Final, NoReturn

from schemas.digit import CLASSES
from schemas.errors import UserError
from trainer.data.exchange import Exchange
from trainer.data.reading import Reading, Shard, read
from trainer.data.sources.labelled_files import LabelledFile, plan_of
from trainer.data.splits import Digits
from trainer.files.files import in_cloud, list_folder

LABELS: Final = tuple(str(label) for label in range(CLASSES))


class FolderSource:
    """A folder of labelled images, local or in `gs://`.

    Which split an image falls into follows from its canonical pixels alone: files may be added,
    removed or renamed and no other image changes sides, and copies of one image stay together. The
    price is that shares are met on average only, so a small class may have no image in the
    validation or the test split; that is said, and refused only where nothing would be left to
    train a class on or to test with.

    Args:
        path: the folder; its sub-folders are named 0 to 9, and files are found in them at any depth.
        reading: how it is read.

    Raises:
        UserError: when it is no such folder.
    """

    def __init__(self, path: str, reading: Reading | None = None) -> None:
        self._path = path
        self._reading = reading or Reading()
        # A folder on disk is only looked at: its listing is taken when it is read. A bucket has no
        # folders to look at, so that its listing is taken once, here.
        self._listed = list_folder(path) if in_cloud(path) else None
        _check_names(path, self._names())

    def read(
        self, *, validation_fraction: float, shard: Shard = (0, 1), exchange: Exchange | None = None
    ) -> Digits:
        """Decodes every image and divides them; the folder's own shares hold, whatever the fraction."""
        del validation_fraction
        listed = self._listed if self._listed is not None else list_folder(self._path)
        files = [
            LabelledFile(file, int(label))
            for file in listed
            if (label := _first_segment(self._path, file.place)) in LABELS
        ]
        _check_filled(self._path, files)
        digits = read(plan_of(self.name, files), reading=self._reading, shard=shard, exchange=exchange)
        check_enough(digits)
        return digits

    @property
    def name(self) -> str:
        """The `--data` value."""
        return f"folder:{self._path}"

    def _names(self) -> tuple[set[str], list[str]]:
        """Returns the names of the sub-folders, and of the files beside them."""
        if self._listed is None:
            return _entries(self._path)
        first = [(_first_segment(self._path, file.place), file.place) for file in self._listed]
        return {name for name, _ in first if name}, sorted(place for name, place in first if not name)


def _first_segment(folder: str, place: str) -> str:
    """Returns the sub-folder that a file is in; empty for one right in the folder."""
    return place[len(folder) :].lstrip("/").rpartition("/")[0].partition("/")[0]


def _entries(path: str) -> tuple[set[str], list[str]]:
    try:
        entries = [entry for entry in os.scandir(path) if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(
            "folder:PATH names a folder that can be read",
            got=path,
            remedy=f"check the path: {error.strerror}",
        ) from error
    folders = {entry.name for entry in entries if entry.is_dir()}
    return folders, sorted(entry.name for entry in entries if entry.name not in folders)


def _check_names(path: str, names: tuple[set[str], list[str]]) -> None:
    folders, loose = names
    if strange := sorted(folders - set(LABELS)):
        _refuse(path, f"rename or move {few(strange)}")
    if missing := sorted(set(LABELS) - folders):
        _refuse(path, f"add sub-folders for the labels {few(missing)}")
    if loose:
        print(f"folder:{path}: not used, since outside the label folders: {few(loose)}", flush=True)


def _check_filled(path: str, files: Sequence[LabelledFile]) -> None:
    filled = {one.label for one in files}
    if empty := [label for label in LABELS if int(label) not in filled]:
        _refuse(path, f"put images into the empty sub-folders {few(empty)}")


def _refuse(path: str, remedy: str) -> NoReturn:
    raise UserError(
        "a folder of labelled images has the sub-folders 0 to 9, each with images and no others",
        got=path,
        remedy=remedy,
    )


def few(names: Sequence[str], most: int = 5) -> str:
    """Returns the first names, quoted, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def check_enough(digits: Digits, labels: Sequence[str] = LABELS) -> None:
    """Says which classes are in no validation or test split.

    Args:
        digits: what was divided by its pixels.
        labels: those that the source has.

    Raises:
        UserError: when too few images are left to train one of these on, or to test with.
    """
    untrained = [label for label in labels if not digits.train_counts()[int(label)]]
    if untrained or not len(digits.test):
        lacking = f"to train {few(untrained)} on" if untrained else "to test with"
        raise UserError(
            "each image goes by its pixels to training (80 %), validation (10 %) or test (10 %)",
            got=digits.name,
            remedy=f"add more images: none is left {lacking}",
        )
    for name, split in (("validation", digits.validation), ("test", digits.test)):
        counts = split.class_counts() if split is not None else (0,) * CLASSES
        if absent := [label for label in labels if not counts[int(label)]]:
            print(f"{digits.name}: no {name} image for {few(absent)}: add more images", flush=True)
