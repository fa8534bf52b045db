"""Rows of a run as pandas DataFrames, typed by the contracts' columns; only this module knows pandas."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from digitmill.extras import require
from schemas.columns import Column

if TYPE_CHECKING:
    import pandas

_TYPES: Final = {"string": "str", "integer": "int64", "number": "float64"}


def check_pandas(wanted: str) -> None:
    """Raise UserError, with the line that installs it, where there is no pandas for what is wanted."""
    require("pandas", wanted=wanted)


def read_rows(tables: Sequence[tuple[str, bytes]], columns: Sequence[Column]) -> "pandas.DataFrame":
    """Return the rows of CSV files, gzipped or not, one after the other; none of them gives no rows.

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
        for name, data in tables
    ]
    return pd.concat(read, ignore_index=True)


def _type_of(column: Column) -> str:
    return "Int64" if column.kind == "integer" and column.nullable else _TYPES[column.kind]
