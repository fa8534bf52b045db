"""Reads and writes Parquet files of records through pyarrow.

pyarrow comes with Beam and takes a tenth of a second to import, so it is loaded only for Parquet files.
"""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, Final, cast

import numpy as np

from pipelines.rows.row_columns import SLICE_ROWS, Columns, absent_values
from schemas.columns import Column
from schemas.prediction import NO_LABEL

if TYPE_CHECKING:
    import pyarrow as pa

COMPRESSION: Final = "zstd"
"""Of the pages; every reader has it: pandas, Polars, DuckDB, BigQuery, Spark."""


def arrow_schema(columns: Iterable[Column]) -> "pa.Schema":
    """Return the schema of a record's files: UTF-8 text, int64 or float32, required unless nullable."""
    import pyarrow as pa

    types = {"string": pa.string(), "integer": pa.int64(), "number": pa.float32(), "bytes": pa.binary()}
    return pa.schema([pa.field(each.name, types[each.kind], nullable=each.nullable) for each in columns])


def _for_pandas(columns: Iterable[Column]) -> str:
    """Return what a file tells pandas: integers are integers, whether values are missing or not."""
    optional = [
        {
            "name": each.name,
            "field_name": each.name,
            "pandas_type": "int64",
            "numpy_type": "Int64",
            "metadata": None,
        }
        for each in columns
        if each.kind == "integer" and each.nullable
    ]
    return json.dumps({"index_columns": [], "column_indexes": [], "columns": optional}, separators=(",", ":"))


def encode_parquet(columns: Sequence[Column], some: Iterable[Columns]) -> bytes:
    """Return the bytes of a Parquet file with these rows; the same rows give the same bytes."""
    data = io.BytesIO()
    with ParquetFile(data, columns) as file:
        file.write(some)
    return data.getvalue()


class ParquetFile:
    """Writes a Parquet file, one group of rows in memory at a time."""

    def __init__(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        """Begin a file with these columns."""
        import pyarrow.parquet as pq

        self._columns = columns
        self._schema = arrow_schema(columns)
        # The Arrow schema is left out: it adds a kilobyte to each file, and says what Parquet's own says.
        self._writer = pq.ParquetWriter(file, self._schema, compression=COMPRESSION, store_schema=False)
        self._writer.add_key_value_metadata({"pandas": _for_pandas(columns)})

    def __enter__(self) -> "ParquetFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, some: Iterable[Columns]) -> None:
        """Write rows as one row group; write nothing if there are no rows."""
        import pyarrow as pa

        batches = [self._batch(columns) for columns in some]
        if batches:
            table = pa.Table.from_batches(batches, self._schema)
            self._writer.write_table(table, row_group_size=max(1, table.num_rows))

    def _batch(self, columns: Columns) -> "pa.RecordBatch":
        import pyarrow as pa

        arrays = [
            _array(each, columns[each.name], field.type)
            for each, field in zip(self._columns, self._schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


def _array(column: Column, values: Sequence | np.ndarray, kind: "pa.DataType") -> "pa.Array":
    import pyarrow as pa

    if column.kind in ("string", "bytes"):
        return pa.array(values, kind)
    numbers = np.asarray(values)
    absent = (
        (np.isnan(numbers) if column.kind == "number" else numbers == NO_LABEL) if column.nullable else None
    )
    return pa.array(numbers, kind, mask=absent)


def read_parquet(data: bytes, columns: Sequence[Column], rows: int = SLICE_ROWS) -> Iterator[Columns]:
    """Yield the rows of a Parquet file in slices; columns that the file lacks have missing values.

    Raises:
        ValueError: when the file is damaged, or lacks a required value.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        there = set(file.schema_arrow.names)
        for batch in file.iter_batches(rows, columns=[each.name for each in columns if each.name in there]):
            yield {
                each.name: _values(each, batch.column(each.name))
                if each.name in there
                else absent_values(each, batch.num_rows)
                for each in columns
            }
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"damaged: {error}") from error


def count_parquet(data: bytes) -> int:
    """Return the number of rows of a Parquet file; raise ValueError when it is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(pa.BufferReader(data)).metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"damaged: {error}") from error


def _values(column: Column, array: "pa.Array") -> Sequence | np.ndarray:
    if array.null_count and not column.nullable:
        raise ValueError(f"{column.name} must not be missing")
    if column.kind in ("string", "bytes"):
        return array.to_pylist()
    missing: Any = NO_LABEL if column.kind == "integer" else float("nan")
    filled = array.fill_null(missing) if array.null_count else array
    wanted = np.int64 if column.kind == "integer" else np.float32
    return cast(np.ndarray, filled.to_numpy(zero_copy_only=False).astype(wanted, copy=False))
