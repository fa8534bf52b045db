import pathlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from digitmill.records import encode_records, read_records
from schemas import prediction
from schemas.columns import Column

INT64 = st.integers(-(2**63), 2**63 - 1)
COLUMNS = (
    Column("text", "string", nullable=False, description=""),
    Column("count", "integer", nullable=False, description=""),
    Column("share", "number", nullable=False, description=""),
    Column("maybe", "integer", nullable=True, description=""),
)
ROWS = st.lists(
    st.tuples(
        st.text(st.characters(exclude_categories=["Cs"])),
        INT64,
        st.floats(width=32, allow_nan=False),
        st.integers(-1, 9),
    ),
    max_size=30,
)


def parsed(data: bytes, path: pathlib.Path) -> list[tf.train.Example]:
    path.write_bytes(data)
    return [tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]


@given(ROWS)
@settings(deadline=None)
def test_tensorflow_reads_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple]
) -> None:
    values = dict(
        zip(("text", "count", "share", "maybe"), zip(*rows, strict=True) if rows else [()] * 4, strict=True)
    )
    examples = parsed(encode_records(COLUMNS, values), tmp_path_factory.mktemp("records") / "x.tfrecord")
    assert len(examples) == len(rows)
    for example, (text, count, share, maybe) in zip(examples, rows, strict=True):
        feature = example.features.feature
        assert feature["text"].bytes_list.value[:] == [text.encode()]
        assert feature["count"].int64_list.value[:] == [count]
        assert feature["share"].float_list.value[:] == [share]
        assert ("maybe" in feature) == (maybe >= 0)
        assert maybe < 0 or feature["maybe"].int64_list.value[:] == [maybe]


def test_the_schemas_own_feature_spec_parses_the_records(tmp_path: pathlib.Path) -> None:
    columns = {
        "image": ["file:///a.png", "file:///b.png"],
        "path": ["a.png", None],
        "generation": np.array([1, 1_700_000_000_000_000_000]),
        "digit": np.array([3, 8]),
        "confidence": np.array([0.75, 1.0], np.float32),
        "second_digit": np.array([5, 0]),
        "second_confidence": np.array([0.25, 0.0], np.float32),
        "decision": ["review", "accept"],
        "label": np.array([prediction.NO_LABEL, 8]),
        "challenger_digit": np.array([3, prediction.NO_LABEL]),
        "challenger_confidence": np.array([0.5, prediction.NO_NUMBER], np.float32),
        "reason": [prediction.Reason.NOT_A_DIGIT.value, None],
    }
    path = tmp_path / "x.tfrecord"
    path.write_bytes(encode_records(prediction.COLUMNS, columns))
    spec = {name: tf.io.FixedLenFeature(*feature) for name, feature in prediction.feature_spec().items()}
    (batch,) = tf.data.TFRecordDataset(str(path)).batch(9)
    features = tf.io.parse_example(batch, spec)
    for name, values in columns.items():
        plain = ["" if value is None else value for value in values]
        expected = [value.encode() if isinstance(value, str) else value for value in plain]
        # A NaN equals itself here.
        np.testing.assert_equal(features[name].numpy().tolist(), list(expected))


@given(INT64)
def test_an_integer_takes_no_more_bytes_than_protobufs_own_encoding(number: int) -> None:
    feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))
    example = tf.train.Example(features=tf.train.Features(feature={"count": feature}))
    (record,) = read_records(encode_records(COLUMNS[1:2], {"count": [number]}))
    assert record == example.SerializeToString()


def some(count: int, values: st.SearchStrategy, nothing: float | None) -> st.SearchStrategy[list]:
    """Columns of a length of which all rows have a value, none, or some."""
    many = {"min_size": count, "max_size": count}
    mixed = st.lists(st.one_of(values, st.just(nothing)), **many)
    return st.one_of(st.lists(values, **many), st.just([nothing] * count), mixed)


@st.composite
def predictions(draw: st.DrawFn) -> dict[str, object]:
    """Columns of the prediction row."""
    count = draw(st.integers(1, 12))
    many = {"min_size": count, "max_size": count}
    digits, shares = st.integers(0, 9), st.floats(0, 1, width=32)
    times = st.integers(1_600_000_000_000_000_000, 1_800_000_000_000_000_000)
    names = st.text(st.characters(exclude_categories=["Cs"]))
    return {
        "image": draw(st.lists(names, **many)),
        "path": draw(some(count, names, None)),
        "generation": draw(st.one_of(st.lists(times, **many), st.lists(st.integers(0, 2**63 - 1), **many))),
        "digit": draw(st.lists(digits, **many)),
        "confidence": np.array(draw(st.lists(shares, **many)), np.float32),
        "second_digit": draw(st.lists(digits, **many)),
        "second_confidence": np.array(draw(st.lists(shares, **many)), np.float32),
        "decision": draw(st.lists(st.sampled_from(["accept", "review"]), **many)),
        "label": draw(some(count, digits, prediction.NO_LABEL)),
        "challenger_digit": draw(some(count, digits, prediction.NO_LABEL)),
        "challenger_confidence": np.array(draw(some(count, shares, prediction.NO_NUMBER)), np.float32),
        "reason": draw(some(count, st.just("NOT_A_DIGIT"), None)),
    }


@pytest.mark.slow
@given(predictions())
@settings(deadline=None)
def test_rows_of_any_shape_are_read_by_tensorflow_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, columns: dict[str, object]
) -> None:
    data = encode_records(prediction.COLUMNS, columns)
    examples = parsed(data, tmp_path_factory.mktemp("records") / "x.tfrecord")
    assert len(examples) == len(columns["image"])
    for row, example in enumerate(examples):
        expected = {name: values[row] for name, values in columns.items()}
        absent = {name for name, value in expected.items() if value in (-1, None) or value != value}
        assert set(example.features.feature) == set(expected) - absent
        for name, feature in example.features.feature.items():
            (value,) = getattr(feature, feature.WhichOneof("kind")).value
            wanted = expected[name]
            assert value == (wanted.encode() if isinstance(wanted, str) else wanted)


def test_no_rows_are_no_bytes() -> None:
    assert encode_records(COLUMNS, {"text": [], "count": [], "share": [], "maybe": []}) == b""


def test_a_flipped_byte_is_noticed(tmp_path: pathlib.Path) -> None:
    data = bytearray(encode_records(COLUMNS, {"text": ["a"], "count": [1], "share": [0.5], "maybe": [-1]}))
    data[20] ^= 1
    with pytest.raises(tf.errors.DataLossError):
        parsed(bytes(data), tmp_path / "x")


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        encode_records(COLUMNS, {"text": ["a", "b"], "count": [1], "share": [0.5], "maybe": [-1]})
