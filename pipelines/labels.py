"""True digits of the images that are scored, where someone knows them."""

import csv
import pathlib
from collections.abc import Callable, Iterable, Iterator

from pipelines.names import folder_of, may_be_archive, uri_in
from pipelines.work_item import ListedImage
from schemas.digit import CLASSES
from schemas.errors import UserError
from schemas.prediction import NO_LABEL

FOLDER = "folder"
"""The value of `--labels` under which an image's folder is its label."""

_DIGITS = {str(digit): digit for digit in range(CLASSES)}


def with_labels(images: Iterable[ListedImage], labels: str) -> Iterator[ListedImage]:
    """Yields the images with their labels; one that has none stays unlabelled.

    Args:
        images: the listing.
        labels: `folder`, or the path of a CSV file with the columns `path` and `label`, whose paths
            are URIs, absolute, or relative to the CSV file's own folder.

    Raises:
        UserError: when the CSV cannot be used, or, after the last image, when none had a label.
    """
    label = by_folder if labels == FOLDER else _from_csv(labels)
    known = False
    for image in images:
        labelled = label(image)
        known = known or labelled.label != NO_LABEL or may_be_archive(image.uri)
        yield labelled
    if not known:
        remedy = "write absolute paths, or paths relative to the CSV file's folder"
        if labels == FOLDER:
            remedy = "keep the images in folders named 0 to 9, or give a CSV file of path,label"
        raise UserError("the labels name at least one image of the input", got=labels, remedy=remedy)


def _from_csv(labels: str) -> Callable[[ListedImage], ListedImage]:
    by_uri = _read_csv(pathlib.Path(labels))

    def label(image: ListedImage) -> ListedImage:
        if may_be_archive(image.uri):
            raise UserError(
                "a labels file names images, not the members of archives",
                got=image.uri,
                remedy="leave archives out, or pack the images with their labels by `digitmill pack`",
            )
        return _labelled(image, by_uri.get(image.uri))

    return label


def by_folder(image: ListedImage) -> ListedImage:
    """Returns an image with its folder's name as its label, where that is a digit."""
    return _labelled(image, _DIGITS.get(folder_of(image.uri).rpartition("/")[2]))


def by_member_folder(member: ListedImage) -> ListedImage:
    """Returns a member of an archive with its folder in the archive as its label, where that is a digit."""
    return _labelled(member, _DIGITS.get(folder_of("/" + member.uri.rpartition("!")[2]).rpartition("/")[2]))


def _labelled(image: ListedImage, label: int | None) -> ListedImage:
    return image if label is None else image._replace(label=label)


def _read_csv(path: pathlib.Path) -> dict[str, int]:
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
            labels: dict[str, int] = {}
            for row in rows:
                uri, digit = uri_in(row["path"], path), _digit(row["label"], path, line=rows.line_num)
                if labels.setdefault(uri, digit) != digit:
                    raise UserError(
                        "an image has one label",
                        got=row["path"],
                        remedy=f"mend line {rows.line_num} of {path}",
                    )
            return labels
    except (OSError, csv.Error) as error:
        raise UserError(
            "the labels are the word folder, or a CSV file that can be read", got=str(path), remedy=str(error)
        ) from error


def _digit(text: str | None, path: pathlib.Path, *, line: int) -> int:
    digit = _DIGITS.get((text or "").strip())
    if digit is None:
        raise UserError("a label is a digit from 0 to 9", got=text, remedy=f"mend line {line} of {path}")
    return digit
