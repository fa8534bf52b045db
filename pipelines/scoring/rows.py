"""Encodes prediction rows as CSV and TFRecords, by the columns of `schemas.prediction`, and writes them."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import deflate
import numpy as np

from digitmill.records import encode_records
from digitmill.reports.csv_table import encode_csv, encode_csv_columns
from digitmill.storage import OutputFolder
from pipelines.scoring.scored_batch import ScoredBatch, summarize
from pipelines.statistics.item_statistics import ItemStatistics
from schemas import prediction
from schemas.columns import Column
from schemas.layout import PREDICTIONS, Compression
from schemas.manifest import Part
from schemas.prediction import NO_LABEL, Decision, Prediction, Reason, carried_column

Columns = Mapping[str, Sequence | np.ndarray]
"""Values by column name, all of one length."""

_HEADER: Final = tuple(column.name for column in prediction.COLUMNS)
_DECISIONS: Final = (Decision.REVIEW.value, Decision.ACCEPT.value)
_REASONS: Final = (None, Reason.NOT_A_DIGIT.value)
SLICE_ROWS: Final = 4096
"""Rows that are encoded at once: encoding takes many times their size in memory."""


def prediction_columns(scored: ScoredBatch, carry: Sequence[str] = ()) -> Columns:
    """Return the values of `schemas.prediction.COLUMNS`, and of the columns to `carry`, by name."""
    carried = [json.loads(image.carried or "{}") for image in scored.images] if carry else []
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
        "reason": [_REASONS[no_digit] for no_digit in scored.not_digits.tolist()],
        **{name: [columns.get(name) for columns in carried] for name in carry},
    }


def encode_rows(columns: Columns, compression: Compression = Compression.RECORDS) -> dict[str, bytes]:
    """Return the CSV and TFRecord files of rows, by file name suffix; the same rows give the same bytes."""
    slices, definitions = list(_slices(columns)), definitions_of(columns)
    records = b"".join(encode_records(definitions, some) for some in slices)
    header = encode_csv([[each.name for each in definitions]])
    text = b"".join((header, *(encode_csv_columns(_cells(some)) for some in slices)))
    names = {"csv": text, "tfrecord": records}
    packed = {Compression.NONE: (), Compression.RECORDS: ("tfrecord",), Compression.ALL: names}[compression]
    # libdeflate's level 1 compresses to a seventh in 0.3 us a row; zlib's, which gives as much, takes 0.6.
    return {
        **{f"{name}.gz": bytes(deflate.gzip_compress(names[name], 1)) for name in packed},
        **{name: data for name, data in names.items() if name not in packed},
    }


def write_parts(
    output: OutputFolder,
    piece: str,
    scored: ScoredBatch,
    *,
    compression: Compression,
    carry: Sequence[str] = (),
    audit: int | None = None,
) -> ItemStatistics:
    """Write rows, if any, once to files named by piece and content; return their statistics."""
    files = encode_rows(prediction_columns(scored, carry), compression) if scored.images else {}
    content = hashlib.sha256(b"".join(files.values())).hexdigest()[:8]
    parts = []
    for suffix, data in files.items():
        name = f"{PREDICTIONS}/part-{piece}-{content}.{suffix}"
        output.write_once(name, data)
        parts.append(Part.of(name, data, rows=len(scored.images)))
    return summarize(piece, scored, tuple(parts), audit=audit)


def definitions_of(names: Iterable[str]) -> tuple[Column, ...]:
    """Return the columns of predictions by their names, those of `schemas.prediction.COLUMNS` first."""
    return (*prediction.COLUMNS, *(carried_column(name) for name in names if name not in _HEADER))


def _slices(columns: Columns) -> Iterator[Columns]:
    for start in range(0, len(columns[_HEADER[0]]), SLICE_ROWS):
        yield {name: values[start : start + SLICE_ROWS] for name, values in columns.items()}


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


def _cells(columns: Columns) -> list[Sequence[str]]:
    return [_texts(column, columns[column.name]) for column in definitions_of(columns)]


def _texts(column: Column, values: Sequence | np.ndarray) -> Sequence[str]:
    known = _values(column, values)
    if None in known:
        return ["" if value is None else _text(column, value) for value in known]
    if column.kind == "number":
        # One call for all: half the time of one for each.
        return ("%.6f " * len(known) % tuple(known)).split()
    return known if column.kind == "string" else list(map(str, known))


def _text(column: Column, value: object) -> str:
    return f"{value:.6f}" if column.kind == "number" else str(value)
