"""Prediction rows as files: the columns of `schemas.prediction` as CSV and as TFRecords."""

import gzip
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from digitmill.records import encode_records
from digitmill.reports.csv_table import encode_csv
from pipelines.scoring.scored_batch import Scored
from schemas import prediction
from schemas.columns import Column
from schemas.layout import Compression
from schemas.prediction import NO_LABEL, Decision, Prediction

Columns = Mapping[str, Sequence | np.ndarray]
"""Values by column's name, all equally many."""

_HEADER: Final = tuple(described.name for described in prediction.COLUMNS)
_DECISIONS: Final = (Decision.REVIEW.value, Decision.ACCEPT.value)
SLICE_ROWS: Final = 4096
"""Rows that are encoded at once: one takes many times its size meanwhile."""


def prediction_columns(scored: Scored) -> Columns:
    """Returns the values of `schemas.prediction.COLUMNS`, by name."""
    return {
        "image": [image.uri for image in scored.images],
        "generation": np.array([image.generation for image in scored.images], np.int64),
        "digit": scored.first,
        "confidence": scored.confidence,
        "second_digit": scored.second,
        "second_confidence": scored.second_confidence,
        # Plain texts: members of an enumeration take 0.3 us to be hashed.
        "decision": [_DECISIONS[accepted] for accepted in scored.accepted.tolist()],
        "label": np.array([image.label for image in scored.images], np.int64),
        "challenger_digit": scored.challenger,
        "challenger_confidence": scored.challenger_confidence,
    }


def encode(columns: Columns, compression: Compression = Compression.RECORDS) -> dict[str, bytes]:
    """Returns the files of some rows, CSV and TFRecord, by the endings of their names.

    The same rows are the same bytes: nothing in them depends on time.
    """
    slices = list(_slices(columns))
    records = b"".join(encode_records(prediction.COLUMNS, some) for some in slices)
    text = b"".join((encode_csv([_HEADER]), *(encode_csv(_rows(some)) for some in slices)))
    names = {"csv": text, "tfrecord": records}
    packed = {Compression.NONE: (), Compression.RECORDS: ("tfrecord",), Compression.ALL: names}[compression]
    # Level 1 makes a seventh of the size in 0.6 us a row, level 6 an eighth in 1.6 us.
    return {
        **{f"{name}.gz": gzip.compress(names[name], compresslevel=1, mtime=0) for name in packed},
        **{name: data for name, data in names.items() if name not in packed},
    }


def _slices(columns: Columns) -> Iterator[Columns]:
    for start in range(0, len(columns[_HEADER[0]]), SLICE_ROWS):
        yield {name: values[start : start + SLICE_ROWS] for name, values in columns.items()}


def _rows(columns: Columns) -> Iterator[tuple]:
    return zip(*(_cells(described, columns[described.name]) for described in prediction.COLUMNS), strict=True)


def predictions(scored: Scored) -> Iterator[Prediction]:
    """Yields the rows as records, for those who take them one by one."""
    columns = prediction_columns(scored)
    values = [_values(described, columns[described.name]) for described in prediction.COLUMNS]
    for row in zip(*values, strict=True):
        yield Prediction(*row)


def _values(described: Column, values: Sequence | np.ndarray) -> list:
    """Returns a column as Python values, None where a row has none."""
    if described.kind == "string":
        return list(values)
    numbers = np.asarray(values).tolist()
    if not described.nullable:
        return numbers
    # A number that is none is a NaN, the one value that differs from itself.
    return [None if value == NO_LABEL or value != value else value for value in numbers]


def _cells(described: Column, values: Sequence | np.ndarray) -> list:
    known = _values(described, values)
    if described.kind == "number":
        return ["" if value is None else f"{value:.6f}" for value in known]
    return ["" if value is None else value for value in known] if described.nullable else known
