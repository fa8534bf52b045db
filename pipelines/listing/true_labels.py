"""Attaches true labels to listed images, from folder names or from a CSV file."""

import csv
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol, TextIO

from digitmill.storage import open_text
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import RealNames, folder_of, may_be_archive, path_hint, split_page, uri_in
from schemas import labels as labels_file
from schemas.digit import CLASSES
from schemas.errors import UserError, counted, reason_of
from schemas.prediction import NO_LABEL

FOLDER = "folder"
"""Value of `--labels` that uses an image's folder name as its label."""

_NO_PAGE = "-"
"""Placeholder in `page_labels` for a page without a label."""

_DIGITS = {str(digit): digit for digit in range(CLASSES)}

Parse = Callable[[str], int | None]
"""Converts the text of a label to its number; returns None if it is not a label."""


class Label(NamedTuple):
    """A label from a CSV file: the digit, and the image version that it applies to; -1 for any version."""

    digit: int
    generation: int = -1


def attach_labels(
    images: Iterable[ListedImage],
    labels: "str | LabelsFile",
    *,
    more: Callable[[], bool] = lambda: False,
    unreadable: bool = False,
) -> Iterator[ListedImage]:
    """Yield the images with their labels; images without one stay unlabeled.

    A file's label applies to all its pages; a CSV can also name single pages: `scan.tif!2`.

    If the CSV has a column `generation`, as the CSV of a review does, a label applies only to that version of
    the image. Printed to standard error: lines without a digit, labels of other versions, and labels without
    an image. If `more()` says that workers list further images, the last two are not printed, and having no
    labels is not an error.

    `labels` is `folder`, or a CSV file with the columns `path` and `label`, or its location. The paths in it
    are URIs, absolute paths, or paths relative to the CSV's folder. If `unreadable` is true, unreadable
    images have the label `NOT_A_DIGIT`, otherwise none.

    Raises:
        UserError: when the CSV cannot be used, or, after the last image, when no image had a label.
    """
    if isinstance(labels, str) and labels != FOLDER:
        labels = LabelsFile(labels, unreadable=unreadable)
    labeler = Labeler(labels) if isinstance(labels, LabelsFile) else None
    label = labeler.label if labeler else _class_from_folder if unreadable else label_from_folder
    known = False
    for image in images:
        labeled = label(image)
        known = known or labeled.label != NO_LABEL or bool(labeled.page_labels) or may_be_archive(image.uri)
        yield labeled
    if more():
        return  # images that workers list may have labels
    if labeler and isinstance(labels, LabelsFile):
        _report_unused(labels, labeler, known=known)
    if not known:
        hint = "write absolute paths, or paths relative to the CSV file's folder"
        if not labeler:
            hint = "keep the images in folders named 0 to 9, or give a CSV file of path,label"
        raise UserError("no image of the input has a label", value=str(labels), hint=hint)


def _report_unused(labels: "LabelsFile", labeler: "Labeler", *, known: bool) -> None:
    if labeler.stale:
        print(
            f"{labels}: ignored {counted(labeler.stale, 'label')} of other versions of the images",
            file=sys.stderr,
            flush=True,
        )
    if known and (unused := labels.count - labeler.used) > 0:
        print(
            f"{labels}: {unused:,} of {labels.count:,} labels name no image of the input",
            file=sys.stderr,
            flush=True,
        )


class FileLabels(Protocol):
    """The labels of a CSV file, by labeled file."""

    def of(self, uri: str) -> tuple[Label | None, Mapping[int, Label]]:
        """Return the label of a file and those of its pages."""


class Labeler:
    """Gives images their labels.

    Attributes:
        used: number of labels used so far; all page labels of a file count, even if the page does not exist.
        stale: number of labels for another version of the image.
    """

    def __init__(self, labels: FileLabels) -> None:
        self._labels = labels
        self.used = self.stale = 0

    def label(self, image: ListedImage) -> ListedImage:
        """Return an image with its label, if there is one."""
        if may_be_archive(image.uri):
            raise UserError(
                "a labels file cannot label the members of an archive",
                value=image.uri,
                hint="leave archives out, or pack the images with their labels by `digitmill pack`",
            )
        label, pages = self._labels.of(image.uri)
        if pages:
            if label is not None:
                raise UserError(
                    "both a file and its pages have labels",
                    value=image.uri,
                    hint=f"leave out one of the two in {self._labels}",
                )
            self.used += len(pages)
            return self._with_page_labels(image, pages)
        self.used += label is not None
        return _labeled(image, label and self._current(label, image))

    def _current(self, label: Label, image: ListedImage) -> int | None:
        """Return a label's digit; None if the label is for another version of the image."""
        if label.generation in (-1, image.generation):
            return label.digit
        self.stale += 1
        return None

    def _with_page_labels(self, image: ListedImage, pages: Mapping[int, Label]) -> ListedImage:
        digits = {page: self._current(label, image) for page, label in pages.items()}
        known = {page: str(digit) for page, digit in digits.items() if digit is not None}
        labels = "".join(known.get(page, _NO_PAGE) for page in range(1, max(known, default=0) + 1))
        # A file of one page is named without the page.
        return _labeled(image._replace(page_labels=labels), digits.get(1))


class LabelsFile:
    """A CSV file of labels, in memory.

    Args:
        path: the file.
        unreadable: whether images labeled unreadable get the label `NOT_A_DIGIT` instead of none.

    Attributes:
        count: number of labels.
    """

    def __init__(self, path: str, *, unreadable: bool = False) -> None:
        self._path = path
        # Resolve links, so that images listed and labeled under different links match.
        self._real = RealNames()
        parse = labels_file.class_of if unreadable else labels_file.digit_of
        self._by_uri = _read_csv(path, self._real, parse)
        self._pages = _page_labels(self._by_uri)
        self.count = len(self._by_uri)

    def __str__(self) -> str:
        return self._path

    def of(self, uri: str) -> tuple[Label | None, Mapping[int, Label]]:
        """Return the label of a file and those of its pages."""
        real = self._real[uri]
        return self._by_uri.get(real), self._pages.get(real, {})

    def __iter__(self) -> Iterator[tuple[str, Label | None, Mapping[int, Label]]]:
        """Yield each file's URI, label and page labels, sorted by URI."""
        for uri in sorted(self._by_uri.keys() | self._pages.keys()):
            yield uri, self._by_uri.get(uri), self._pages.get(uri, {})


def _page_labels(by_uri: Mapping[str, Label]) -> dict[str, dict[int, Label]]:
    """Return the labels whose names may be pages, by file and page."""
    pages: dict[str, dict[int, Label]] = {}
    for uri, label in by_uri.items():
        # Names in a labels file are paths, so their URIs have exclamation marks percent-encoded.
        file, page = split_page("!".join(uri.rsplit("%21", 1)) if uri.startswith("file:") else uri)
        if page:
            pages.setdefault(file, {})[page] = label
    return pages


def label_from_folder(image: ListedImage) -> ListedImage:
    """Return an image labeled with its folder's name, if that is a digit."""
    return _labeled(image, _DIGITS.get(folder_of(image.uri).rpartition("/")[2]))


def _class_from_folder(image: ListedImage) -> ListedImage:
    return _labeled(image, labels_file.CLASS_NUMBERS.get(folder_of(image.uri).rpartition("/")[2]))


def label_from_member_folder(member: ListedImage) -> ListedImage:
    """Return an archive's member labeled with its folder's name in the archive, if that is a digit."""
    return _labeled(member, _DIGITS.get(folder_of("/" + member.uri.rpartition("!")[2]).rpartition("/")[2]))


def _labeled(image: ListedImage, label: int | None) -> ListedImage:
    return image if label is None else image._replace(label=label)


def _read_csv(path: str, real: RealNames, parse: Parse) -> dict[str, Label]:
    try:
        with open_text(path) as file:
            labels, without_digit = _read_rows(_with_columns(file, path), path, real, parse)
    except (OSError, csv.Error) as error:
        raise _unreadable(path, error) from error
    if without_digit:
        print(f"{path}: ignored {without_digit:,} lines without a digit", file=sys.stderr, flush=True)
    return labels


def check_header(path: str) -> None:
    """Raise UserError if a labels file cannot be read or lacks a column; reads only its first line."""
    try:
        with open_text(path) as file:
            _with_columns(file, path)
    except (OSError, csv.Error) as error:
        raise _unreadable(path, error) from error


def _with_columns(file: TextIO, path: str) -> csv.DictReader:
    rows = csv.DictReader(file)
    header = rows.fieldnames or ()
    if not {"path", "label"} <= set(header):
        problem = "the labels file lacks the columns path and label"
        raise UserError(problem, value=",".join(header), hint=labels_file.header_hint(header, path))
    return rows


def _unreadable(path: str, error: Exception) -> UserError:
    hint = path_hint(path, "give a CSV file, or `folder`")
    return UserError(f"cannot read the labels file ({reason_of(error)})", value=path, hint=hint)


def _read_rows(
    rows: csv.DictReader, path: str, real: RealNames, parse: Parse
) -> tuple[dict[str, Label], int]:
    """Return the labels by URI, and the number of lines without a digit."""
    labels: dict[str, Label] = {}
    without_digit = 0
    for row in rows:
        digit = _digit(row["label"], path, line=rows.line_num, parse=parse)
        if digit is None:
            without_digit += 1
            continue
        uri = real[uri_in(labels_file.named_image(row), path)]
        label = Label(digit, _generation(row.get("generation"), path, line=rows.line_num))
        if labels.setdefault(uri, label) != label:
            raise UserError(
                "the image has two labels", value=row["path"], hint=f"correct line {rows.line_num} of {path}"
            )
    return labels, without_digit


def _generation(text: str | None, path: str, *, line: int) -> int:
    if not text:
        return -1
    if not (text.isascii() and text.isdigit()):
        raise UserError(
            "the generation is not a whole number", value=text, hint=f"correct line {line} of {path}"
        )
    return int(text)


def _digit(text: str | None, path: str, *, line: int, parse: Parse) -> int | None:
    try:
        return parse(text or "")
    except ValueError as error:
        raise UserError(
            "the label is not a digit from 0 to 9", value=text, hint=f"correct line {line} of {path}"
        ) from error
