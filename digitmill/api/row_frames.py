"""Rows of a run as tables of pandas and Arrow, typed by the contracts' columns."""

import gzip
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from schemas.columns import Column

if TYPE_CHECKING:
    import pandas
    import pyarrow

_PANDAS_TYPES: Final = {"string": "str", "integer": "int64", "number": "float64"}
_ARROW_TYPES: Final = {"string": "string", "integer": "int64", "number": "float64"}

_MISSING: Final = ("",)
"""Cells without a value; a carried column may hold words that readers take for one, such as NA."""


def read_pandas(tables: Iterable[tuple[str, bytes]], columns: Sequence[Column]) -> "pandas.DataFrame":
    """Return the rows of CSV files, gzipped or not, one after the other; none of them gives no rows.

    Args:
        tables: name and content of each file.
        columns: that they have. Integers that may be missing are `Int64`, texts are never taken for numbers.
    """
    import pandas as pd

    types = {column.name: _pandas_type(column) for column in columns}
    read = [
        pd.read_csv(io.BytesIO(data), dtype=types, keep_default_na=False, na_values=list(_MISSING))
        for data in _inflated(tables)
    ]
    if not read:
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})
    return pd.concat(read, ignore_index=True)


def read_arrow(tables: Iterable[tuple[str, bytes]], columns: Sequence[Column]) -> "pyarrow.Table":
    """Return the same rows as an Arrow table, where what is missing is null."""
    import pyarrow as pa
    from pyarrow import csv

    schema = pa.schema([(column.name, _ARROW_TYPES[column.kind]) for column in columns])
    parsing = csv.ParseOptions(newlines_in_values=True)
    converting = csv.ConvertOptions(
        column_types=schema,
        null_values=list(_MISSING),
        strings_can_be_null=True,
        include_columns=schema.names,
    )
    read = [
        csv.read_csv(pa.BufferReader(data), parse_options=parsing, convert_options=converting)
        for data in _inflated(tables)
    ]
    return pa.concat_tables(read) if read else schema.empty_table()


def _inflated(tables: Iterable[tuple[str, bytes]]) -> Iterable[bytes]:
    return (gzip.decompress(data) if name.endswith(".gz") else data for name, data in tables)


def _pandas_type(column: Column) -> str:
    return "Int64" if column.kind == "integer" and column.nullable else _PANDAS_TYPES[column.kind]
