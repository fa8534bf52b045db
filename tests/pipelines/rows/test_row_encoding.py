import csv
import io
import math
import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.rows.row_columns import SLICE_ROWS, Columns, definitions_of
from pipelines.rows.row_encoding import encode_rows
from pipelines.rows.row_reading import read_rows
from schemas import prediction
from schemas.__main__ import GENERATED
from schemas.layout import Compression, Format
from schemas.prediction import NO_LABEL, Decision

FORMATS = tuple(Format)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


def columns(images: list[str], *, label: int = NO_LABEL, confidence: float = 0.75) -> Columns:
    rows = len(images)
    numbers: dict = {
        column.name: np.full(rows, NO_LABEL) if column.nullable else np.full(rows, 3)
        for column in prediction.COLUMNS
        if column.kind == "integer"
    }
    texts = {column.name: [None] * rows for column in prediction.COLUMNS if column.kind == "string"}
    return {
        **numbers,
        **texts,
        "image": images,
        "generation": np.arange(rows) + 2**60 + 1,
        "decision": [str(Decision.ACCEPT)] * rows,
        "label": np.full(rows, label),
        "confidence": np.full(rows, confidence, np.float32),
        "second_confidence": np.full(rows, 0.125, np.float32),
        "challenger_confidence": np.full(rows, math.nan, np.float32),
    }


@given(st.lists(NAMES, min_size=1, max_size=5), st.integers(-1, 9), st.sampled_from([0.0, 0.125, 1.0]))
@settings(max_examples=25, deadline=None)
def test_what_is_written_is_read_back_from_every_format(
    images: list[str], label: int, confidence: float
) -> None:
    given_rows = columns(images, label=label, confidence=confidence)
    for compression in Compression:
        for suffix, data in encode_rows(given_rows, compression, FORMATS).items():
            (found,) = read_rows(f"part.{suffix}", data, prediction.COLUMNS)
            assert found.keys() == given_rows.keys()
            for name, values in given_rows.items():
                assert np.array_equal(found[name], values, equal_nan=isinstance(values, np.ndarray)), name


def test_many_rows_are_read_some_at_a_time() -> None:
    many = columns([f"file:///{number}" for number in range(2 * SLICE_ROWS + 1)])
    for suffix, data in encode_rows(many, Compression.RECORDS, FORMATS).items():
        found = list(read_rows(f"part.{suffix}", data, prediction.COLUMNS))
        assert [len(some["image"]) for some in found] == [SLICE_ROWS, SLICE_ROWS, 1]
        assert np.concatenate([some["generation"] for some in found]).tolist() == many["generation"].tolist()


def test_the_parquet_schema_is_the_generated_one() -> None:
    data = encode_rows(columns(["a"]), Compression.NONE, (Format.PARQUET,))["parquet"]
    text = str(pq.ParquetFile(io.BytesIO(data)).schema).partition("\n")[2]
    found = re.sub(r"required group field_id=-1 schema", "message predictions", text)
    found = re.sub(r" field_id=-1|\bgroup ", lambda match: "", found).replace("(String)", "(STRING)")
    assert found.strip() == (GENERATED / "predictions.parquet.txt").read_text().strip()


def test_the_parquet_file_has_the_same_types_with_and_without_labels() -> None:
    schemas = {
        str(pq.read_schema(io.BytesIO(encode_rows(columns(["a"], label=label), formats=FORMATS)["parquet"])))
        for label in (NO_LABEL, 7)
    }
    assert len(schemas) == 1


def test_carried_columns_are_text_in_every_format() -> None:
    carried = {**columns(["a", "b"]), "customer": ["Möller, 1", None]}
    definitions = definitions_of(carried)
    for suffix, data in encode_rows(carried, Compression.ALL, FORMATS).items():
        (found,) = read_rows(f"part.{suffix}", data, definitions)
        assert found["customer"] == ["Möller, 1", None]


def test_numbers_in_quotes_are_read_as_those_without() -> None:
    (data,) = encode_rows(columns(["a", "b"]), Compression.NONE, (Format.CSV,)).values()
    rows = csv.reader(io.StringIO(data.decode()))
    quoted = io.StringIO()
    csv.writer(quoted, quoting=csv.QUOTE_ALL).writerows(rows)
    (plain,), (other,) = (
        list(read_rows("part.csv", each, prediction.COLUMNS)) for each in (data, quoted.getvalue().encode())
    )
    assert plain["generation"].tolist() == other["generation"].tolist() == [2**60 + 1, 2**60 + 2]


@pytest.mark.parametrize("label", [NO_LABEL, 7])
@pytest.mark.parametrize("rows", [0, 2])
def test_pandas_reads_parquet_with_the_same_types(label: int, rows: int) -> None:
    images = [f"file:///{number}" for number in range(rows)]
    data = encode_rows(columns(images, label=label), formats=(Format.PARQUET,))["parquet"]
    types = pd.read_parquet(io.BytesIO(data)).dtypes.map(str).to_dict()
    assert (types["label"], types["challenger_digit"], types["generation"]) == ("Int64", "Int64", "int64")
    assert types["challenger_confidence"] == "float32"


@pytest.mark.parametrize("each", FORMATS)
def test_a_damaged_file_is_refused(each: Format) -> None:
    (data,) = encode_rows(columns(["a", "b"]), Compression.NONE, (each,)).values()
    with pytest.raises(ValueError):  # noqa: PT011 - each format has its own words
        list(read_rows(f"part.{each}", data[:-3], prediction.COLUMNS))
