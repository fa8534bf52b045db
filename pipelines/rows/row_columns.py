"""Rows of predictions in memory: a column of values for each of `schemas.prediction.COLUMNS`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from schemas import prediction
from schemas.columns import Column
from schemas.prediction import NO_LABEL, NO_NUMBER, PROBABILITY_COLUMNS, carried_column

Columns = Mapping[str, Sequence | np.ndarray]
"""Values by column name, all of one length: texts, None where there is none; int64, `NO_LABEL` where there is
none; float32, NaN where there is none."""

SLICE_ROWS: Final = 4096
"""Rows that are encoded or read at once: encoding takes many times their size in memory."""

_HEADER: Final = frozenset(column.name for column in prediction.COLUMNS)
PROBABILITIES: Final = {column.name: column for column in PROBABILITY_COLUMNS}
"""The columns of probabilities by their names."""


def definitions_of(names: Iterable[str]) -> tuple[Column, ...]:
    """Return the columns of predictions by their names, those of `schemas.prediction.COLUMNS` first."""
    extra = (name for name in names if name not in _HEADER)
    return (*prediction.COLUMNS, *(PROBABILITIES.get(name) or carried_column(name) for name in extra))


def count_rows(columns: Columns) -> int:
    """Return the number of rows."""
    return len(columns[prediction.COLUMNS[0].name])


def slices(columns: Columns, rows: int = SLICE_ROWS) -> Iterator[Columns]:
    """Yield slices of rows."""
    for start in range(0, count_rows(columns), rows):
        yield {name: values[start : start + rows] for name, values in columns.items()}


def join_columns(some: Sequence[Columns]) -> Columns:
    """Concatenate the rows of at least one set of columns with the same names."""
    if len(some) == 1:
        return some[0]
    return {
        name: np.concatenate([each[name] for each in some])
        if isinstance(values, np.ndarray)
        else [value for each in some for value in each[name]]
        for name, values in some[0].items()
    }


def no_rows(definitions: Iterable[Column]) -> Columns:
    """Return columns with zero rows."""
    return {column.name: absent_values(column, 0) for column in definitions}


def absent_values(column: Column, rows: int) -> Sequence | np.ndarray:
    """Return missing values for rows that lack a column."""
    match column.kind:
        case "integer":
            return np.full(rows, NO_LABEL, np.int64)
        case "number":
            return np.full(rows, NO_NUMBER, np.float32)
        case _:
            return [None] * rows


def values_of(column: Column, values: Sequence | np.ndarray) -> list[Any]:
    """Return a column as Python values, with None for missing ones."""
    if column.kind == "string":
        return list(values)
    numbers = np.asarray(values).tolist()
    if not column.nullable:
        return numbers
    # Only NaN differs from itself.
    return [None if value == NO_LABEL or value != value else value for value in numbers]


def cells_of(columns: Columns, definitions: Iterable[Column]) -> list[Sequence[str]]:
    """Return the columns as the texts of a CSV."""
    return [_texts(column, columns[column.name]) for column in definitions]


def _texts(column: Column, values: Sequence | np.ndarray) -> Sequence[str]:
    known = values_of(column, values)
    if None in known:
        return ["" if value is None else _text(column, value) for value in known]
    if column.kind == "number":
        # One call for all: half the time of one for each.
        return ("%.6f " * len(known) % tuple(known)).split()
    return known if column.kind == "string" else list(map(str, known))


def _text(column: Column, value: object) -> str:
    return f"{value:.6f}" if column.kind == "number" else str(value)
