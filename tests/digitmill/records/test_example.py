import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from digitmill.records import parse_example
from digitmill.records.example import MAX_FIELDS

VALUES = st.one_of(
    st.lists(st.binary(max_size=200), max_size=3),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=3),
)


def feature_of(values: list) -> tf.train.Feature:
    if values and isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if values and isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), VALUES, max_size=5))
def test_what_tensorflow_writes_is_read(features: dict[str, list]) -> None:
    written = tf.train.Features(feature={name: feature_of(values) for name, values in features.items()})
    payload = tf.train.Example(features=written).SerializeToString()
    expected = {name: values[0] for name, values in features.items() if values}
    assert parse_example(payload) == expected


def test_integers_that_are_not_packed_and_unknown_fields_are_read() -> None:
    value = b"\x08\x07"
    feature = b"\x1a" + bytes([len(value)]) + value
    entry = b"\x0a\x01n\x12" + bytes([len(feature)]) + feature + b"\x3d1234\x39" + bytes(8)
    features = b"\x0a" + bytes([len(entry)]) + entry
    assert parse_example(b"\x0a" + bytes([len(features)]) + features + b"\x10\x05") == {"n": 7}


@given(st.binary(max_size=200))
def test_other_bytes_are_read_or_refused(payload: bytes) -> None:
    try:
        parse_example(payload)
    except ValueError:
        return


@pytest.mark.parametrize("empty", [b"\x0a\x00", b"\x0a\x02\x0a\x00"])
def test_a_message_of_countless_fields_is_refused(empty: bytes) -> None:
    with pytest.raises(ValueError, match="more than"):
        parse_example(empty * (MAX_FIELDS + 1))
