import numpy as np
import pytest

from digitmill.records import encode_records
from pipelines.compact.row_table import PackedRows, RowTable
from pipelines.rows.row_columns import Columns
from pipelines.rows.row_reading import decode_rows
from schemas import prediction
from schemas.prediction import NO_LABEL, NO_NUMBER


def record(image: str, digit: int = 3, *, decision: str = "accept") -> bytes:
    numbers = {column.name: np.array([digit]) for column in prediction.COLUMNS if column.kind != "string"}
    columns = {
        **numbers,
        "image": [image],
        "decision": [decision],
        "confidence": np.array([0.5], np.float32),
        "second_confidence": np.array([0.25], np.float32),
        "label": np.array([NO_LABEL]),
        "challenger_digit": np.array([NO_LABEL]),
        "challenger_confidence": np.array([NO_NUMBER], np.float32),
        "path": [None],
        "reason": [None],
    }
    return encode_records(prediction.COLUMNS, columns)[12:-4]


def rows_of(*records: bytes) -> Columns:
    return decode_rows(records, prediction.COLUMNS)


def test_rows_come_back_by_their_numbers_with_the_version_of_their_file() -> None:
    scan = ("file:///scan.tif", 7)
    rows = PackedRows.of(
        rows_of(record("file:///scan.tif!1"), record("file:///scan.tif!2", 4, decision="review")),
        lambda _: scan,
    )
    others = PackedRows.of(rows_of(record("file:///ä\n.png", 5)), lambda uri: (uri, 1))
    table = RowTable()
    found = [*table.add(rows.to_bytes()), *table.add(others.to_bytes())]
    assert found == [(scan, 0), (scan, 1), (("file:///ä\n.png", 1), 2)]
    batch = table.batch([2, 1], ())
    assert [image.uri for image in batch.images] == ["file:///ä\n.png", "file:///scan.tif!2"]
    assert batch.first.tolist() == [5, 4]
    assert batch.accepted.tolist() == [True, False]
    assert batch.challenger.tolist() == [NO_LABEL, NO_LABEL]
    assert np.isnan(batch.challenger_confidence).all()
    assert batch.confidence.dtype == np.float32


def test_some_of_the_rows_can_be_taken() -> None:
    rows = PackedRows.of(rows_of(*(record(f"file:///{name}") for name in "abc")), lambda uri: (uri, 1))
    assert rows.take([2, 0]).owners() == ["file:///c", "file:///a"]


def test_no_rows_are_an_empty_batch() -> None:
    assert RowTable().batch([], ()).images == ()


def test_a_record_without_an_image_is_refused() -> None:
    with pytest.raises(ValueError, match="without an image's URI"):
        PackedRows.of(rows_of(record("")), lambda uri: (uri, 1))
