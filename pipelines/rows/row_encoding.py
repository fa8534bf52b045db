"""Encodes prediction rows as CSV, TFRecord and Parquet, with the columns of `schemas.prediction`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import deflate

from digitmill.records import encode_records
from digitmill.reports.csv_table import encode_csv, encode_csv_columns
from pipelines.rows.parquet_table import encode_parquet
from pipelines.rows.row_columns import Columns, cells_of, definitions_of, slices
from schemas.columns import Column
from schemas.layout import DEFAULT_FORMATS, Compression, Format

_GZIPPED: Final[Mapping[Compression, frozenset[Format]]] = {
    Compression.NONE: frozenset(),
    Compression.RECORDS: frozenset({Format.TFRECORD}),
    Compression.ALL: frozenset({Format.CSV, Format.TFRECORD}),
}
"""Formats that are gzipped; Parquet compresses its pages itself."""


def encode_rows(
    columns: Columns,
    compression: Compression = Compression.RECORDS,
    formats: Sequence[Format] = DEFAULT_FORMATS,
) -> dict[str, bytes]:
    """Return the files of rows, by file name suffix; the same rows give the same bytes."""
    definitions = definitions_of(columns)
    files = {}
    for each in formats:
        data = _ENCODERS[each](definitions, columns)
        if each in _GZIPPED[compression]:
            # libdeflate's level 1 packs a row in 0.3 us to a seventh; zlib's, which gives as much, takes 0.6.
            files[f"{each}.gz"] = bytes(deflate.gzip_compress(data, 1))
        else:
            files[str(each)] = data
    return files


def csv_header(definitions: Sequence[Column]) -> bytes:
    """Return the first line of a CSV."""
    return encode_csv([[each.name for each in definitions]])


def csv_lines(definitions: Sequence[Column], some: Columns) -> bytes:
    """Return rows as the lines of a CSV."""
    return encode_csv_columns(cells_of(some, definitions))


def _csv(definitions: Sequence[Column], columns: Columns) -> bytes:
    return b"".join((csv_header(definitions), *(csv_lines(definitions, some) for some in slices(columns))))


def _tfrecord(definitions: Sequence[Column], columns: Columns) -> bytes:
    return b"".join(encode_records(definitions, some) for some in slices(columns))


def _parquet(definitions: Sequence[Column], columns: Columns) -> bytes:
    return encode_parquet(definitions, slices(columns))


_ENCODERS: Final[Mapping[Format, Callable[[Sequence[Column], Columns], bytes]]] = {
    Format.CSV: _csv,
    Format.TFRECORD: _tfrecord,
    Format.PARQUET: _parquet,
}
