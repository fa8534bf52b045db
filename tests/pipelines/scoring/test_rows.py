import csv
import dataclasses
import gzip
import io
import json
import math
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from digitmill.engines.engine import LiteRtEngine
from digitmill.storage import ImageReader
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import uri_of
from pipelines.rows.row_columns import SLICE_ROWS
from pipelines.rows.row_encoding import encode_rows
from pipelines.scoring.classify import Classifier
from pipelines.scoring.report_samples import ReportSamples
from pipelines.scoring.rows import iter_predictions, prediction_columns
from pipelines.scoring.scored_batch import ScoredBatch
from schemas import prediction
from schemas.__main__ import GENERATED
from schemas.layout import Compression
from schemas.prediction import Prediction


@pytest.fixture(scope="session")
def scored(digit_folder: pathlib.Path, engine: LiteRtEngine) -> ScoredBatch:
    from pipelines.listing.input_listing import list_images
    from pipelines.listing.true_labels import attach_labels
    from pipelines.listing.work_item import pack_items

    (item,) = pack_items(attach_labels(list_images([str(digit_folder)]), "folder"), "run")
    contents = zip(item.images, ImageReader().read(item.images), strict=True)
    return Classifier(engine, accept_threshold=0.9).classify(contents)


def parse(data: bytes, path: pathlib.Path) -> dict[str, list]:
    path.write_bytes(data)
    spec = {name: tf.io.FixedLenFeature(*feature) for name, feature in prediction.feature_spec().items()}
    (batch,) = tf.data.TFRecordDataset(str(path), compression_type="GZIP").batch(10_000)
    return {name: values.numpy().tolist() for name, values in tf.io.parse_example(batch, spec).items()}


def test_csv_and_tfrecord_hold_the_same_valid_rows(scored: ScoredBatch, tmp_path: pathlib.Path) -> None:
    columns = prediction_columns(scored)
    records = parse(encode_rows(columns)["tfrecord.gz"], tmp_path / "x.tfrecord.gz")
    rows = list(csv.DictReader(io.StringIO(encode_rows(columns)["csv"].decode(), newline="")))
    assert len(rows) == len(records["image"]) == 500
    for number, row in enumerate(rows):
        record = Prediction(
            image=records["image"][number].decode(),
            decision=records["decision"][number].decode(),
            **{
                name: values[number]
                for name, values in records.items()
                if name not in ("image", "decision", "reason") and not name.startswith("challenger")
            },
        )
        assert [row["image"], row["decision"]] == [record.image, record.decision]
        for name in ("generation", "digit", "second_digit", "label"):
            assert int(row[name]) == getattr(record, name)
        for name in ("confidence", "second_confidence"):
            assert float(row[name]) == pytest.approx(getattr(record, name), abs=5e-7)


def test_the_csv_is_valid_by_its_table_schema(
    scored: ScoredBatch, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import frictionless

    (tmp_path / "rows.csv").write_bytes(encode_rows(prediction_columns(scored))["csv"])
    monkeypatch.chdir(tmp_path)  # frictionless trusts no absolute paths
    schema = json.loads((GENERATED / "predictions.tableschema.json").read_text())
    report = frictionless.Resource(
        path="rows.csv", schema=frictionless.Schema.from_descriptor(schema)
    ).validate()
    assert report.valid, report.flatten(["rowNumber", "fieldName", "message"])
    assert report.tasks[0].stats["rows"] == 500


def test_the_table_schema_notices_a_wrong_row(
    scored: ScoredBatch, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import frictionless

    text = encode_rows(prediction_columns(scored))["csv"].decode().replace(",accept,", ",perhaps,", 1)
    (tmp_path / "rows.csv").write_text(text)
    monkeypatch.chdir(tmp_path)
    schema = json.loads((GENERATED / "predictions.tableschema.json").read_text())
    report = frictionless.Resource(
        path="rows.csv", schema=frictionless.Schema.from_descriptor(schema)
    ).validate()
    assert report.flatten(["fieldName"]) == [["decision"]]


def one_row(uri: str, label: int, challenger: int = prediction.NO_LABEL) -> ScoredBatch:
    return ScoredBatch(
        images=(ListedImage(uri, 5, 3, label),),
        first=np.array([7]),
        second=np.array([1]),
        confidence=np.array([0.9], np.float32),
        second_confidence=np.array([0.1], np.float32),
        accepted=np.array([True]),
        challenger=np.array([challenger]),
        challenger_confidence=np.array([math.nan if challenger == prediction.NO_LABEL else 0.5], np.float32),
        failures=(),
        samples=ReportSamples(),
    )


@pytest.mark.parametrize(
    "uri",
    [
        uri_of(b"/a/=1+1.png"),
        uri_of(b'/a/\xff\xfe\n,".png'),
        'gs://bucket/a,b "c"\nd\r\n.png',
        "gs://bucket/%2F=é/e\u0301.png",
        "gs://bucket/@SUM(A1).png",
    ],
)
def test_hostile_names_are_escaped_in_page_and_file(uri: str, tmp_path: pathlib.Path) -> None:
    columns = prediction_columns(one_row(uri, 7))
    (row,) = csv.DictReader(io.StringIO(encode_rows(columns)["csv"].decode(), newline=""))
    assert row["image"] == uri
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())
    assert parse(encode_rows(columns)["tfrecord.gz"], tmp_path / "x")["image"] == [uri.encode()]


def test_an_unknown_label_is_an_empty_cell_and_an_absent_feature(tmp_path: pathlib.Path) -> None:
    columns = prediction_columns(one_row("file:///a", prediction.NO_LABEL))
    assert encode_rows(columns)["csv"].decode().splitlines()[1].endswith(",accept,,,,")
    data = gzip.decompress(encode_rows(columns)["tfrecord.gz"])
    assert b"label" not in data
    assert parse(encode_rows(columns)["tfrecord.gz"], tmp_path / "x")["label"] == [prediction.NO_LABEL]


@pytest.mark.parametrize(
    ("compression", "names"),
    [
        (Compression.NONE, {"csv", "tfrecord"}),
        (Compression.RECORDS, {"csv", "tfrecord.gz"}),
        (Compression.ALL, {"csv.gz", "tfrecord.gz"}),
    ],
)
def test_compression_changes_names_and_no_row(
    scored: ScoredBatch, compression: Compression, names: set[str]
) -> None:
    columns = prediction_columns(scored)
    files = encode_rows(columns, compression)
    assert files.keys() == names
    plain = {
        name.removesuffix(".gz"): gzip.decompress(data) if name.endswith(".gz") else data
        for name, data in files.items()
    }
    assert plain == encode_rows(columns, Compression.NONE)


def test_rows_are_encoded_a_few_at_a_time_and_come_out_the_same(
    scored: ScoredBatch,
) -> None:
    few = prediction_columns(scored)
    times = SLICE_ROWS // 500 + 1
    many = {
        name: values * times if isinstance(values, list) else np.tile(values, times)
        for name, values in few.items()
    }
    once, repeated = encode_rows(few, Compression.NONE), encode_rows(many, Compression.NONE)
    assert repeated["tfrecord"] == once["tfrecord"] * times
    header, _, lines = once["csv"].partition(b"\n")
    assert repeated["csv"] == header + b"\n" + lines * times


def test_a_challenger_adds_its_columns(tmp_path: pathlib.Path) -> None:
    columns = prediction_columns(one_row("file:///a", 7, challenger=3))
    assert encode_rows(columns)["csv"].decode().splitlines()[1].endswith(",accept,7,3,0.500000,")
    record = parse(encode_rows(columns)["tfrecord.gz"], tmp_path / "x")
    assert (record["challenger_digit"], record["challenger_confidence"]) == ([3], [0.5])


def test_without_a_challenger_cells_are_empty_and_features_absent(tmp_path: pathlib.Path) -> None:
    columns = prediction_columns(one_row("file:///a", 7))
    assert encode_rows(columns)["csv"].decode().splitlines()[1].endswith(",accept,7,,,")
    assert b"challenger" not in gzip.decompress(encode_rows(columns)["tfrecord.gz"])
    record = parse(encode_rows(columns)["tfrecord.gz"], tmp_path / "x")
    assert record["challenger_digit"] == [prediction.NO_LABEL]
    assert math.isnan(record["challenger_confidence"][0])


def test_a_file_may_mix_rows_with_and_without_a_challenger(tmp_path: pathlib.Path) -> None:
    both = [
        prediction_columns(one_row("file:///a", 7, challenger)) for challenger in (3, prediction.NO_LABEL)
    ]
    columns = {name: np.concatenate([columns[name] for columns in both]) for name in both[0]}
    assert [row[-11:] for row in encode_rows(columns)["csv"].decode().splitlines()[1:]] == [
        "3,0.500000,",
        "accept,7,,,",
    ]
    record = parse(encode_rows(columns)["tfrecord.gz"], tmp_path / "x")
    assert record["challenger_digit"] == [3, prediction.NO_LABEL]
    assert record["challenger_confidence"][0] == 0.5
    assert math.isnan(record["challenger_confidence"][1])


def test_only_a_row_for_review_that_seems_no_digit_has_a_reason(tmp_path: pathlib.Path) -> None:
    sure = one_row("file:///a", 7)
    spread = dataclasses.replace(sure, confidence=np.array([0.2], np.float32), accepted=np.array([False]))
    columns = prediction_columns(spread)
    assert encode_rows(columns)["csv"].decode().splitlines()[1].endswith(",review,7,,,NOT_A_DIGIT")
    assert parse(encode_rows(columns)["tfrecord.gz"], tmp_path / "x")["reason"] == [b"NOT_A_DIGIT"]
    (row,) = iter_predictions(spread)
    assert row.reason == "NOT_A_DIGIT"
    (row,) = iter_predictions(sure)
    assert row.reason is None
    assert b"reason" not in gzip.decompress(encode_rows(prediction_columns(sure))["tfrecord.gz"])
