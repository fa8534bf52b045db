import csv
import gzip
import io
import json
import pathlib

import frictionless
import numpy as np
import pytest
import tensorflow as tf

from pipelines import rows
from pipelines.engine import LiteRtEngine
from pipelines.names import uri_of
from pipelines.rows import Compression, encode, prediction_columns
from pipelines.scored import Scored
from pipelines.scoring import Scorer
from pipelines.storage import ImageReader, open_folder
from pipelines.work_item import ListedImage
from schemas import prediction
from schemas.__main__ import GENERATED
from schemas.prediction import Prediction


@pytest.fixture(scope="session")
def scored(digit_folder: pathlib.Path, engine: LiteRtEngine) -> Scored:
    from pipelines.labels import with_labels
    from pipelines.listing import list_images
    from pipelines.work_item import pack

    (item,) = pack(with_labels(list_images([str(digit_folder)]), "folder"), "run")
    reader = ImageReader()
    scorer = Scorer(engine, reader, output=open_folder("nowhere"), accept_threshold=0.9)
    return scorer.score(zip(item.images, reader.read(item.images), strict=True))


def parse(data: bytes, path: pathlib.Path) -> dict[str, list]:
    path.write_bytes(data)
    spec = {name: tf.io.FixedLenFeature(*feature) for name, feature in prediction.feature_spec().items()}
    (batch,) = tf.data.TFRecordDataset(str(path), compression_type="GZIP").batch(10_000)
    return {name: values.numpy().tolist() for name, values in tf.io.parse_example(batch, spec).items()}


def test_csv_and_tfrecord_hold_the_same_valid_rows(scored: Scored, tmp_path: pathlib.Path) -> None:
    columns = prediction_columns(scored)
    records = parse(encode(columns)["tfrecord.gz"], tmp_path / "x.tfrecord.gz")
    rows = list(csv.DictReader(io.StringIO(encode(columns)["csv"].decode(), newline="")))
    assert len(rows) == len(records["image"]) == 500
    for number, row in enumerate(rows):
        record = Prediction(
            image=records["image"][number].decode(),
            decision=records["decision"][number].decode(),
            **{name: values[number] for name, values in records.items() if name not in ("image", "decision")},
        )
        assert [row["image"], row["decision"]] == [record.image, record.decision]
        for name in ("generation", "digit", "second_digit", "label"):
            assert int(row[name]) == getattr(record, name)
        for name in ("confidence", "second_confidence"):
            assert float(row[name]) == pytest.approx(getattr(record, name), abs=5e-7)


def test_the_csv_is_valid_by_its_table_schema(
    scored: Scored, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.csv").write_bytes(encode(prediction_columns(scored))["csv"])
    monkeypatch.chdir(tmp_path)  # frictionless trusts no absolute paths
    schema = json.loads((GENERATED / "predictions.tableschema.json").read_text())
    report = frictionless.Resource(
        path="rows.csv", schema=frictionless.Schema.from_descriptor(schema)
    ).validate()
    assert report.valid, report.flatten(["rowNumber", "fieldName", "message"])
    assert report.tasks[0].stats["rows"] == 500


def test_the_table_schema_notices_a_wrong_row(
    scored: Scored, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = encode(prediction_columns(scored))["csv"].decode().replace(",accept,", ",perhaps,", 1)
    (tmp_path / "rows.csv").write_text(text)
    monkeypatch.chdir(tmp_path)
    schema = json.loads((GENERATED / "predictions.tableschema.json").read_text())
    report = frictionless.Resource(
        path="rows.csv", schema=frictionless.Schema.from_descriptor(schema)
    ).validate()
    assert report.flatten(["fieldName"]) == [["decision"]]


def one_row(uri: str, label: int) -> Scored:
    return Scored(
        images=(ListedImage(uri, 5, 3, label),),
        digits=np.zeros((1, 28, 28), np.uint8),
        first=np.array([7]),
        second=np.array([1]),
        confidence=np.array([0.9], np.float32),
        second_confidence=np.array([0.1], np.float32),
        accepted=np.array([True]),
        failures=(),
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
def test_hostile_names_come_out_unharmed_and_harmless(uri: str, tmp_path: pathlib.Path) -> None:
    columns = prediction_columns(one_row(uri, 7))
    (row,) = csv.DictReader(io.StringIO(encode(columns)["csv"].decode(), newline=""))
    assert row["image"] == uri
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())
    assert parse(encode(columns)["tfrecord.gz"], tmp_path / "x")["image"] == [uri.encode()]


def test_an_unknown_label_is_an_empty_cell_and_an_absent_feature(tmp_path: pathlib.Path) -> None:
    columns = prediction_columns(one_row("file:///a", prediction.NO_LABEL))
    assert encode(columns)["csv"].decode().splitlines()[1].endswith(",accept,")
    data = gzip.decompress(encode(columns)["tfrecord.gz"])
    assert b"label" not in data
    assert parse(encode(columns)["tfrecord.gz"], tmp_path / "x")["label"] == [prediction.NO_LABEL]


@pytest.mark.parametrize(
    ("compression", "names"),
    [
        (Compression.NONE, {"csv", "tfrecord"}),
        (Compression.RECORDS, {"csv", "tfrecord.gz"}),
        (Compression.ALL, {"csv.gz", "tfrecord.gz"}),
    ],
)
def test_compression_changes_names_and_no_row(
    scored: Scored, compression: Compression, names: set[str]
) -> None:
    columns = prediction_columns(scored)
    files = encode(columns, compression)
    assert files.keys() == names
    plain = {
        name.removesuffix(".gz"): gzip.decompress(data) if name.endswith(".gz") else data
        for name, data in files.items()
    }
    assert plain == encode(columns, Compression.NONE)


def test_rows_are_encoded_a_few_at_a_time_and_come_out_the_same(
    scored: Scored, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = encode(prediction_columns(scored))
    monkeypatch.setattr(rows, "_SLICE_ROWS", 7)
    assert encode(prediction_columns(scored)) == whole
