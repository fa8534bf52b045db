"""Writes any number of rows to one file, in constant memory."""

import contextlib
import gzip
from collections.abc import Callable, Iterator, Sequence
from typing import IO, BinaryIO, Final, cast

from digitmill.records import encode_records
from pipelines.rows.parquet_table import ParquetFile
from pipelines.rows.row_columns import Columns, count_rows
from pipelines.rows.row_encoding import csv_header, csv_lines
from schemas.columns import Column
from schemas.layout import Format

GROUP_ROWS: Final = 122_880
"""Rows of a group in a Parquet file, which readers take at once: DuckDB's own number."""

Write = Callable[[Columns], object]


@contextlib.contextmanager
def row_file(
    file: BinaryIO, kind: Format, definitions: Sequence[Column], *, gzipped: bool
) -> Iterator[Write]:
    """Context manager that yields a function for writing rows to a file, complete when the block ends."""
    if kind is Format.PARQUET:
        with ParquetFile(file, definitions) as table:
            groups = _Groups(table)
            yield groups.write
            groups.flush()
        return
    with _packed(file, gzipped=gzipped) as plain:
        if kind is Format.CSV:
            plain.write(csv_header(definitions))
            yield lambda columns: plain.write(csv_lines(definitions, columns))
        else:
            yield lambda columns: plain.write(encode_records(definitions, columns))


class _Groups:
    """Collects rows into groups: small ones make a Parquet file large and slow to read."""

    def __init__(self, table: ParquetFile) -> None:
        self._table = table
        self._held: list[Columns] = []
        self._rows = 0

    def write(self, columns: Columns) -> None:
        """Take some rows."""
        self._held.append(columns)
        self._rows += count_rows(columns)
        if self._rows >= GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are held."""
        self._table.write(self._held)
        self._held, self._rows = [], 0


@contextlib.contextmanager
def _packed(file: BinaryIO, *, gzipped: bool) -> Iterator[IO[bytes]]:
    if not gzipped:
        yield file
        return
    # Without a name and a time: the same rows give the same bytes.
    with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=1, mtime=0) as packed:
        yield cast(IO[bytes], packed)
