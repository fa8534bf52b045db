"""Reads the rows of a run's prediction files in any of its formats."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from digitmill.records import decode_records, read_records
from digitmill.reports.csv_table import read_csv
from digitmill.storage import OutputFolder
from pipelines.rows.parquet_table import count_parquet, read_parquet
from pipelines.rows.row_columns import SLICE_ROWS, Columns, absent_values
from schemas.columns import Column
from schemas.layout import PREDICTIONS, Format, format_of
from schemas.manifest import Part
from schemas.prediction import NO_LABEL, NO_NUMBER

Piece = Mapping[Format, Part]
"""The files that hold the same rows, by format."""

_PREFERRED = (Format.TFRECORD, Format.PARQUET, Format.CSV)
"""In this order: TFRecord and Parquet have the numbers as they are, a CSV has six decimals of them."""

_DEFAULTS = {"string": b"", "integer": np.int64(NO_LABEL), "number": np.float32(NO_NUMBER)}
"""By a column's kind, what stands for a value that a record lacks."""


def pieces_of(parts: Iterable[Part]) -> list[Piece]:
    """Group the prediction files among a run's or work item's files by the rows that they contain."""
    by_stem: dict[str, dict[Format, Part]] = {}
    for part in parts:
        kind = format_of(part.name)
        if kind is not None and part.name.startswith(f"{PREDICTIONS}/"):
            stem = part.name.removesuffix(".gz").removesuffix(f".{kind}")
            by_stem.setdefault(stem, {})[kind] = part
    return list(by_stem.values())


def exact_part(piece: Piece) -> Part:
    """Return a file of the piece with exact numbers, or the CSV if there is no other."""
    return next(piece[each] for each in _PREFERRED if each in piece)


def row_parts(parts: Iterable[Part]) -> list[Part]:
    """Return one file per piece, which together contain each row of a run or work item exactly once."""
    return [exact_part(piece) for piece in pieces_of(parts)]


def read_part(
    output: OutputFolder, part: Part, columns: Sequence[Column], rows: int = SLICE_ROWS
) -> Iterator[Columns]:
    """Yield the rows of a run's prediction file in slices, as `read_rows` does.

    Raises:
        FileNotFoundError: when the file is missing.
        ValueError: when it is not the file that `part` describes, or is damaged.
    """
    data = output.read(part.name)
    if Part.of(part.name, data, rows=part.rows) != part:
        raise ValueError(f"{part.name} has changed")
    yield from read_rows(part.name, data, columns, rows)


def read_rows(name: str, data: bytes, columns: Sequence[Column], rows: int = SLICE_ROWS) -> Iterator[Columns]:
    """Yield the rows of a prediction file in slices, as `Columns`.

    Columns that files of earlier versions do not have get missing values.

    Raises:
        ValueError: when the file is damaged, or is not a prediction file.
    """
    match format_of(name):
        case Format.TFRECORD:
            payloads = read_records(data)
            while some := list(itertools.islice(payloads, rows)):
                yield decode_rows(some, columns)
        case Format.PARQUET:
            yield from read_parquet(data, columns, rows)
        case Format.CSV:
            yield from _read_table(name, data, columns, rows)
        case _:
            raise ValueError(f"{name} is no file of predictions")


def count_rows_of(name: str, data: bytes) -> int:
    """Return the number of rows of a prediction file; raise ValueError when it is damaged."""
    match format_of(name):
        case Format.TFRECORD:
            return sum(1 for _ in read_records(data))
        case Format.PARQUET:
            return count_parquet(data)
        case _:
            return sum(1 for _ in read_csv(name, data))


def decode_rows(payloads: Sequence[bytes], columns: Sequence[Column]) -> Columns:
    """Decode records into columns; raise ValueError for an invalid record, or text that is not UTF-8."""
    defaults = {
        column.name: None if column.nullable and column.kind == "string" else _DEFAULTS[column.kind]
        for column in columns
    }
    found = decode_records(payloads, defaults)
    return {
        column.name: [None if text is None else text.decode() for text in found[column.name]]
        if column.kind == "string"
        else found[column.name]
        for column in columns
    }


def _read_table(name: str, data: bytes, columns: Sequence[Column], rows: int) -> Iterator[Columns]:
    table = read_csv(name, data, header=True)
    places = {column: place for place, column in enumerate(next(table, []))}
    missing = [each.name for each in columns if not each.nullable and each.name not in places]
    if missing:
        raise ValueError(f"no column {missing[0]}")
    while some := list(itertools.islice(table, rows)):
        if {*map(len, some)} != {len(places)}:
            raise ValueError("a row has more or fewer cells than the header")
        cells = list(zip(*some, strict=True))
        yield {
            each.name: _parsed(each, cells[places[each.name]])
            if each.name in places
            else absent_values(each, len(some))
            for each in columns
        }


def _parsed(column: Column, cells: Sequence[str]) -> Sequence | np.ndarray:
    if not column.nullable and "" in cells:
        raise ValueError(f"{column.name} must not be missing")
    match column.kind:
        case "integer":
            return np.array([cell or NO_LABEL for cell in cells], np.int64)
        case "number":
            return np.array([cell or NO_NUMBER for cell in cells], np.float32)
        case _:
            return [cell or None for cell in cells]
