"""True digits of the images that are scored, where someone knows them."""

import csv
import pathlib
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import folder_of, may_be_archive, uri_in
from schemas import labels as labels_file
from schemas.digit import CLASSES
from schemas.errors import UserError
from schemas.prediction import NO_LABEL

FOLDER = "folder"
"""The value of `--labels` under which an image's folder is its label."""

_DIGITS = {str(digit): digit for digit in range(CLASSES)}


class _Truth(NamedTuple):
    """What a labels file says of an image: its digit, and the version that was looked at; -1 for any."""

    digit: int
    generation: int = -1


def with_labels(images: Iterable[ListedImage], labels: str) -> Iterator[ListedImage]:
    """Yields the images with their labels; one that has none stays unlabelled.

    Where a CSV has the column `generation`, as that of a review has, a label is of that version of its
    image alone. Labels of other versions are counted, and so are lines without a digit.

    Args:
        images: the listing.
        labels: `folder`, or the path of a CSV file with the columns `path` and `label`, whose paths
            are URIs, absolute, or relative to the CSV file's own folder.

    Raises:
        UserError: when the CSV cannot be used, or, after the last image, when none had a label.
    """
    csv_file = None if labels == FOLDER else _LabelsFile(pathlib.Path(labels))
    label = csv_file.label if csv_file else by_folder
    known = False
    for image in images:
        labelled = label(image)
        known = known or labelled.label != NO_LABEL or may_be_archive(image.uri)
        yield labelled
    if csv_file and csv_file.stale:
        print(
            f"{labels}: {csv_file.stale:,} labels are of other versions of their images and are not used",
            file=sys.stderr,
            flush=True,
        )
    if not known:
        remedy = "write absolute paths, or paths relative to the CSV file's folder"
        if labels == FOLDER:
            remedy = "keep the images in folders named 0 to 9, or give a CSV file of path,label"
        raise UserError("the labels name at least one image of the input", got=labels, remedy=remedy)


class _LabelsFile:
    """A CSV file of labels.

    Attributes:
        stale: images whose label was of another version.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._by_uri = _read_csv(path)
        self.stale = 0

    def label(self, image: ListedImage) -> ListedImage:
        if may_be_archive(image.uri):
            raise UserError(
                "a labels file names images, not the members of archives",
                got=image.uri,
                remedy="leave archives out, or pack the images with their labels by `digitmill pack`",
            )
        truth = self._by_uri.get(image.uri)
        if truth is not None and truth.generation not in (-1, image.generation):
            self.stale += 1
            return image
        return _labelled(image, truth and truth.digit)


def by_folder(image: ListedImage) -> ListedImage:
    """Returns an image with its folder's name as its label, where that is a digit."""
    return _labelled(image, _DIGITS.get(folder_of(image.uri).rpartition("/")[2]))


def by_member_folder(member: ListedImage) -> ListedImage:
    """Returns a member of an archive with its folder in the archive as its label, where that is a digit."""
    return _labelled(member, _DIGITS.get(folder_of("/" + member.uri.rpartition("!")[2]).rpartition("/")[2]))


def _labelled(image: ListedImage, label: int | None) -> ListedImage:
    return image if label is None else image._replace(label=label)


def _read_csv(path: pathlib.Path) -> dict[str, _Truth]:
    try:
        # Names that are no UTF-8 come back as the bytes that they were.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = csv.DictReader(file)
            if not {"path", "label"} <= set(rows.fieldnames or ()):
                raise UserError(
                    "a labels file is a CSV with the columns path and label",
                    got=rows.fieldnames,
                    remedy=f"add the header path,label to {path}",
                )
            truths, without = _truths(rows, path)
    except (OSError, csv.Error) as error:
        raise UserError(
            "the labels are the word folder, or a CSV file that can be read", got=str(path), remedy=str(error)
        ) from error
    if without:
        print(f"{path}: {without:,} lines name no digit and are left out", file=sys.stderr, flush=True)
    return truths


def _truths(rows: csv.DictReader, path: pathlib.Path) -> tuple[dict[str, _Truth], int]:
    """Returns what is said of each image, and how many lines name no digit."""
    truths: dict[str, _Truth] = {}
    without = 0
    for row in rows:
        digit = _digit(row["label"], path, line=rows.line_num)
        if digit is None:
            without += 1
            continue
        uri = uri_in(row["path"], path)
        truth = _Truth(digit, _generation(row.get("generation"), path, line=rows.line_num))
        if truths.setdefault(uri, truth) != truth:
            raise UserError(
                "an image has one label", got=row["path"], remedy=f"mend line {rows.line_num} of {path}"
            )
    return truths, without


def _generation(text: str | None, path: pathlib.Path, *, line: int) -> int:
    if not text:
        return -1
    if not (text.isascii() and text.isdigit()):
        raise UserError(
            "a generation is the version of an image, as predictions have it",
            got=text,
            remedy=f"mend line {line} of {path}",
        )
    return int(text)


def _digit(text: str | None, path: pathlib.Path, *, line: int) -> int | None:
    try:
        return labels_file.digit_of(text or "")
    except ValueError as error:
        raise UserError(
            "a label is a digit from 0 to 9", got=text, remedy=f"mend line {line} of {path}"
        ) from error
