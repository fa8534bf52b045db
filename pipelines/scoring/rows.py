"""Encodes prediction rows as CSV and TFRecords, by the columns of `schemas.prediction`, and writes them."""

import gzip
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from digitmill.records import encode_records
from digitmill.reports.csv_table import encode_csv
from digitmill.storage import OutputFolder
from pipelines.scoring.scored_batch import ScoredBatch, summarize
from pipelines.statistics.item_statistics import ItemStatistics
from schemas import prediction
from schemas.columns import Column
from schemas.layout import PREDICTIONS, Compression
from schemas.manifest import Part
from schemas.prediction import NO_LABEL, Decision, Prediction

Columns = Mapping[str, Sequence | np.ndarray]
"""Values by column name, all of one length."""

_HEADER: Final = tuple(column.name for column in prediction.COLUMNS)
_DECISIONS: Final = (Decision.REVIEW.value, Decision.ACCEPT.value)
SLICE_ROWS: Final = 4096
"""Rows that are encoded at once: encoding takes many times their size in memory."""


def prediction_columns(scored: ScoredBatch) -> Columns:
    """Return the values of `schemas.prediction.COLUMNS`, by name."""
    return {
        "image": [image.uri for image in scored.images],
        "generation": np.array([image.generation for image in scored.images], np.int64),
        "digit": scored.first,
        "confidence": scored.confidence,
        "second_digit": scored.second,
        "second_confidence": scored.second_confidence,
        # Plain strings: hashing an enum member takes 0.3 us.
        "decision": [_DECISIONS[accepted] for accepted in scored.accepted.tolist()],
        "label": np.array([image.label for image in scored.images], np.int64),
        "challenger_digit": scored.challenger,
        "challenger_confidence": scored.challenger_confidence,
    }


def encode_rows(columns: Columns, compression: Compression = Compression.RECORDS) -> dict[str, bytes]:
    """Return the CSV and TFRecord files of rows, by file name suffix; the same rows give the same bytes."""
    slices = list(_slices(columns))
    records = b"".join(encode_records(prediction.COLUMNS, some) for some in slices)
    text = b"".join((encode_csv([_HEADER]), *(encode_csv(_rows(some)) for some in slices)))
    names = {"csv": text, "tfrecord": records}
    packed = {Compression.NONE: (), Compression.RECORDS: ("tfrecord",), Compression.ALL: names}[compression]
    # Level 1 compresses to a seventh in 0.6 us a row, level 6 to an eighth in 1.6 us.
    return {
        **{f"{name}.gz": gzip.compress(names[name], compresslevel=1, mtime=0) for name in packed},
        **{name: data for name, data in names.items() if name not in packed},
    }


def write_parts(
    output: OutputFolder, piece: str, scored: ScoredBatch, *, compression: Compression
) -> ItemStatistics:
    """Write rows, if any, once to files named by piece and content; return their statistics."""
    files = encode_rows(prediction_columns(scored), compression) if scored.images else {}
    content = hashlib.sha256(b"".join(files.values())).hexdigest()[:8]
    parts = []
    for suffix, data in files.items():
        name = f"{PREDICTIONS}/part-{piece}-{content}.{suffix}"
        output.write_once(name, data)
        parts.append(Part.of(name, data, rows=len(scored.images)))
    return summarize(piece, scored, tuple(parts))


def _slices(columns: Columns) -> Iterator[Columns]:
    for start in range(0, len(columns[_HEADER[0]]), SLICE_ROWS):
        yield {name: values[start : start + SLICE_ROWS] for name, values in columns.items()}


def _rows(columns: Columns) -> Iterator[tuple]:
    return zip(*(_cells(column, columns[column.name]) for column in prediction.COLUMNS), strict=True)


def iter_predictions(scored: ScoredBatch) -> Iterator[Prediction]:
    """Yield the rows as `Prediction` records."""
    columns = prediction_columns(scored)
    values = [_values(column, columns[column.name]) for column in prediction.COLUMNS]
    for row in zip(*values, strict=True):
        yield Prediction(*row)


def _values(column: Column, values: Sequence | np.ndarray) -> list:
    """Return a column as Python values; None where a row has no value."""
    if column.kind == "string":
        return list(values)
    numbers = np.asarray(values).tolist()
    if not column.nullable:
        return numbers
    # Only NaN differs from itself.
    return [None if value == NO_LABEL or value != value else value for value in numbers]


def _cells(column: Column, values: Sequence | np.ndarray) -> list:
    known = _values(column, values)
    if column.kind == "number":
        return ["" if value is None else f"{value:.6f}" for value in known]
    return ["" if value is None else value for value in known] if column.nullable else known
