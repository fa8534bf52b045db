"""Rows of a run as pandas DataFrames, typed by the contracts' columns; only this module knows pandas."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pipelines.rows.row_columns import join_columns, no_rows
from pipelines.rows.row_reading import read_rows as read_columns
from schemas.columns import Column
from schemas.errors import UserError
from schemas.layout import Format, format_of
from schemas.prediction import NO_LABEL

if TYPE_CHECKING:
    import pandas

_TYPES: Final = {"string": "str", "integer": "int64", "number": "float64"}


def check_pandas(wanted: str) -> None:
    """Raise UserError, with the line that installs it, where there is no pandas for what is wanted."""
    try:
        import pandas  # noqa: F401
    except ImportError as error:
        raise UserError("pandas is not installed", value=wanted, hint="run pip install pandas") from error


def read_rows(tables: Sequence[tuple[str, bytes]], columns: Sequence[Column]) -> "pandas.DataFrame":
    """Return the rows of CSV, TFRecord or Parquet files, one after the other; none of them gives no rows.

    Args:
        tables: name and content of each file.
        columns: that they have. Integers that may be missing are `Int64`, texts are never taken for numbers.
    """
    import pandas as pd

    types = {column.name: _type_of(column) for column in columns}
    if not tables:
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})
    read = [
        pd.read_csv(
            io.BytesIO(data),
            compression="gzip" if name.endswith(".gz") else None,
            dtype=types,
            # Of the words that pandas takes for missing, such as NA, a carried column may hold any.
            keep_default_na=False,
            na_values=[""],
        )
        if format_of(name) is Format.CSV
        else _decoded(name, data, columns)
        for name, data in tables
    ]
    return pd.concat(read, ignore_index=True)


def _decoded(name: str, data: bytes, columns: Sequence[Column]) -> "pandas.DataFrame":
    """Return the rows of a TFRecord or Parquet file."""
    import pandas as pd

    some = join_columns([no_rows(columns), *read_columns(name, data, columns)])
    values = {column.name: pd.Series(some[column.name]) for column in columns}
    for column in columns:
        if column.kind == "integer" and column.nullable:
            values[column.name] = values[column.name].astype("Int64").replace(NO_LABEL, pd.NA)
    return pd.DataFrame({column.name: values[column.name].astype(_type_of(column)) for column in columns})


def _type_of(column: Column) -> str:
    return "Int64" if column.kind == "integer" and column.nullable else _TYPES[column.kind]
