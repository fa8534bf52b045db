"""`--data labels:FILE.csv`: images and labels listed in a CSV file, as a review exports them."""

import base64
import binascii
import csv
import io
import re
from collections.abc import Collection
from typing import Final, NamedTuple, NoReturn

from digitmill.storage import ImageReader, ListedImage, open_place
from digitmill.storage.names import RealNames, uri_in
from schemas import labels
from schemas.digit import NOT_A_DIGIT
from schemas.errors import UserError, counted
from trainer.data.reading import ALONE, ReadOptions, Workers, read
from trainer.data.sources.file_list import FileList, LabeledFile
from trainer.data.sources.folder import check_split_coverage
from trainer.data.sources.labeled_files import read_plan
from trainer.data.splits import Digits

DIGEST_COLUMNS: Final = ("sha256", "digest")
"""Optional columns with the SHA-256 of an image's bytes, hexadecimal."""

_SHA256: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


class LabelsSource:
    """A CSV file with the columns `path` and `label`.

    Paths are absolute, relative to the file's folder, or URIs of a file or object. Lines without a label
    (not reviewed yet) are skipped and counted; those labeled `unreadable` are pictures that are no digit. If
    a column `pixels` holds the image, the path is only a name. Images are split by their pixels, so that a
    folder and a list of its files give the same splits.

    Raises:
        UserError: if the file can't be read, or a line is invalid.
    """

    def __init__(self, path: str, reading: ReadOptions | None = None) -> None:
        self._path = path
        self._reading = reading or ReadOptions()
        self._rows = _rows(path)
        if not self._rows:
            raise UserError("the labels file has no labeled image", value=path, hint="add lines path,label")

    def read(self, *, validation_fraction: float, workers: Workers = ALONE) -> Digits:
        """Decode and split the images: 80 % training, 10 % validation, 10 % test, whatever the fraction."""
        del validation_fraction
        name = f"labels:{self._path}"
        files = FileList.from_bytes(workers.from_chief(lambda: FileList.of(_labeled(self._rows)).to_bytes()))
        plan = read_plan(name, files, given="/", workers=workers)
        digits = read(plan, reading=self._reading, workers=workers)
        if self._reading.complete:
            given = {row.label for row in self._rows} - {NOT_A_DIGIT}
            check_split_coverage(digits, labels=[str(label) for label in sorted(given)])
        return digits


class _Row(NamedTuple):
    uri: str
    label: int
    sha256: str
    pixels: bytes


def _labeled(rows: Collection[_Row]) -> list[LabeledFile]:
    with ImageReader() as reader:
        found = reader.find([row.uri for row in rows if not row.pixels])
        return [
            LabeledFile(ListedImage(row.uri, 0, len(row.pixels)), row.label, content=row.pixels)
            if row.pixels
            else LabeledFile(next(found), row.label, row.sha256)
            for row in rows
        ]


def _rows(path: str) -> list[_Row]:
    """Return the lines with a label, each image once."""
    try:
        # Keeps the bytes of names that aren't UTF-8.
        with open_place(path) as file:
            text = file.read().decode("utf-8-sig", errors="surrogateescape")
        lines = csv.DictReader(io.StringIO(text, newline=""))
        header = lines.fieldnames or ()
        if not {"path", "label"} <= set(header):
            raise UserError(
                "the labels file lacks the columns path and label",
                value=",".join(header),
                hint=labels.header_hint(header, path),
            )
        rows, unlabeled = _parsed(lines, path)
    except csv.Error as error:
        raise UserError("the labels file is not a valid CSV file", value=path, hint=str(error)) from error
    if unlabeled:
        print(f"labels:{path}: left out {counted(unlabeled, 'line')} without a label", flush=True)
    if unreadable := sum(row.label == NOT_A_DIGIT for row in rows):
        print(f"labels:{path}: {counted(unreadable, 'image')} labeled {labels.UNREADABLE}", flush=True)
    return rows


def _parsed(lines: csv.DictReader, path: str) -> tuple[list[_Row], int]:
    """Return the lines with a label, and the number of the others."""
    by_uri: dict[str, _Row] = {}
    real = RealNames()
    unlabeled = 0
    for line in lines:
        label = line["label"] or ""
        try:
            number = labels.class_of(label)
        except ValueError:
            _refuse(
                f"the label is neither a digit from 0 to 9 nor {labels.UNREADABLE}",
                label,
                path,
                line=lines.line_num,
            )
        if number is None:
            unlabeled += 1
            continue
        row = _row(line, number, path, number=lines.line_num, real=real)
        if by_uri.setdefault(row.uri, row) != row:
            _refuse("the image has two labels or digests", line["path"], path, line=lines.line_num)
    return list(by_uri.values()), unlabeled


def _row(line: dict[str, str], label: int, path: str, *, number: int, real: RealNames) -> _Row:
    name, sha256 = labels.named_image(line), _digest(line, path, number=number)
    if not name:
        _refuse("the line names no image", name, path, line=number)
    if pixels := _pixels(line, path, number=number):
        return _Row(name, label, sha256, pixels)
    return _Row(real[uri_in(name, path)], label, sha256, b"")


def _pixels(line: dict[str, str], path: str, *, number: int) -> bytes:
    given = line.get("pixels") or ""
    try:
        return base64.b64decode(given, validate=True)
    except (ValueError, binascii.Error):
        _refuse("the pixels are not an image file in base64", given[:40], path, line=number)


def _digest(line: dict[str, str], path: str, *, number: int) -> str:
    given = next((line[column] for column in DIGEST_COLUMNS if line.get(column)), "")
    found = _SHA256.fullmatch(given.strip().lower())
    if given and not found:
        _refuse("the digest is not a SHA-256 of 64 hexadecimal digits", given, path, line=number)
    return found[1] if found else ""


def _refuse(problem: str, value: str | None, path: str, *, line: int) -> NoReturn:
    raise UserError(problem, value=value, hint=f"correct line {line} of {path}")
