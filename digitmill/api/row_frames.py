"""Rows of a run as pandas and Arrow tables, with the types of their `Column` definitions."""

import gzip
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from pipelines.rows.row_columns import Columns, join_columns, no_rows, values_of
from pipelines.rows.row_reading import read_rows
from schemas.columns import Column
from schemas.layout import Format, format_of

if TYPE_CHECKING:
    import pandas
    import pyarrow

_PANDAS_TYPES: Final = {"string": "str", "integer": "int64", "number": "float64"}
_ARROW_TYPES: Final = {"string": "string", "integer": "int64", "number": "float64"}

_MISSING: Final = ("",)
"""Text of missing cells; words such as NA are ordinary values in carried columns."""


def read_pandas(tables: Iterable[tuple[str, bytes]], columns: Sequence[Column]) -> "pandas.DataFrame":
    """Return the concatenated rows of CSV, TFRecord or Parquet files; an empty table without files.

    Args:
        tables: name and content of each file.
        columns: the columns of the files.
    """
    import pandas as pd

    types = {column.name: _pandas_type(column) for column in columns}
    read = [
        pd.read_csv(_inflated(name, data), dtype=types, keep_default_na=False, na_values=list(_MISSING))
        if format_of(name) is Format.CSV
        else _pandas_rows(_decoded(name, data, columns), columns)
        for name, data in tables
    ]
    return pd.concat(read, ignore_index=True) if read else _pandas_rows(no_rows(columns), columns)


def read_arrow(tables: Iterable[tuple[str, bytes]], columns: Sequence[Column]) -> "pyarrow.Table":
    """Return the same rows as an Arrow table, with null for missing values."""
    import pyarrow as pa

    schema = pa.schema([(column.name, _ARROW_TYPES[column.kind]) for column in columns])
    read = [
        _arrow_csv(name, data, schema)
        if format_of(name) is Format.CSV
        else pa.table(_values(_decoded(name, data, columns), columns), schema)
        for name, data in tables
    ]
    return pa.concat_tables(read) if read else schema.empty_table()


def _pandas_rows(rows: Columns, columns: Sequence[Column]) -> "pandas.DataFrame":
    import pandas as pd

    values = _values(rows, columns)
    return pd.DataFrame(
        {column.name: pd.Series(values[column.name], dtype=_pandas_type(column)) for column in columns}
    )


def _arrow_csv(name: str, data: bytes, schema: "pyarrow.Schema") -> "pyarrow.Table":
    import pyarrow as pa
    from pyarrow import csv

    converting = csv.ConvertOptions(
        column_types=schema,
        null_values=list(_MISSING),
        strings_can_be_null=True,
        include_columns=schema.names,
    )
    return csv.read_csv(
        pa.BufferReader(_inflated(name, data).getbuffer()),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=converting,
    )


def _inflated(name: str, data: bytes) -> io.BytesIO:
    return io.BytesIO(gzip.decompress(data) if name.endswith(".gz") else data)


def _decoded(name: str, data: bytes, columns: Sequence[Column]) -> Columns:
    return join_columns([no_rows(columns), *read_rows(name, data, columns)])


def _values(rows: Columns, columns: Sequence[Column]) -> dict[str, list]:
    return {column.name: values_of(column, rows[column.name]) for column in columns}


def _pandas_type(column: Column) -> str:
    return "Int64" if column.kind == "integer" and column.nullable else _PANDAS_TYPES[column.kind]
