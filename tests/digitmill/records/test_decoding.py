from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.records import decode_records, encode_records, parse_example
from schemas import prediction
from schemas.prediction import NO_LABEL

NUMBERS = {
    "generation": np.int64(0),
    "digit": np.int64(-7),
    "confidence": np.float32(0.5),
    "label": np.int64(NO_LABEL),
}
DEFAULTS: dict[str, Any] = {"image": b"", "decision": None, **NUMBERS}


def payloads(rows: list[dict[str, Any]]) -> list[bytes]:
    """Records one by one, as each alone would be encoded."""
    found = []
    for row in rows:
        columns = {column.name: [row.get(column.name, 0)] for column in prediction.COLUMNS} | {
            name: [None] for name in ("path", "reason")
        }
        found.append(encode_records(prediction.COLUMNS, columns)[12:-4])
    return found


def parsed(records: list[bytes]) -> dict[str, list[Any]]:
    rows = list(map(parse_example, records))
    return {name: [row.get(name, default) for row in rows] for name, default in DEFAULTS.items()}


def as_lists(columns: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: list(values) for name, values in columns.items()}


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "image": st.text("ab/é", min_size=1, max_size=3),
            "generation": st.sampled_from([0, 1, 127, 128, 300, 2**40, 2**63 - 1]),
            "digit": st.integers(0, 9),
            "confidence": st.floats(0, 1, width=32),
            "decision": st.sampled_from(["accept", "review", "later"]),
            "label": st.integers(NO_LABEL, 9),
            "challenger_digit": st.just(NO_LABEL),
        }
    ),
    max_size=60,
)


@given(ROWS)
def test_records_are_decoded_as_each_is_parsed(rows: list[dict[str, Any]]) -> None:
    records = payloads(rows)
    assert as_lists(decode_records(records, DEFAULTS)) == parsed(records)


@given(st.lists(st.binary(max_size=12), min_size=1, max_size=9), st.integers(0, 8))
def test_what_is_no_record_is_decoded_or_refused_as_parsing_it(strange: list[bytes], place: int) -> None:
    records = [*payloads([{"image": "a", "decision": "accept"}] * 6), *strange]
    records.insert(place, strange[0])
    try:
        expected = parsed(records)
    except (ValueError, UnicodeDecodeError) as error:
        with pytest.raises(type(error)):
            decode_records(records, DEFAULTS)
        return
    assert as_lists(decode_records(records, DEFAULTS)) == expected


def test_a_changed_byte_outside_of_the_values_is_not_overlooked() -> None:
    records = payloads([{"image": "a", "decision": "accept", "digit": 3}] * 20)
    records[7] = records[7].replace(b"digit", b"digot", 1)
    found = decode_records(records, DEFAULTS)
    assert as_lists(found) == parsed(records)
    assert found["digit"][7] == -7


def test_several_numbers_in_one_feature_are_not_taken_for_one() -> None:
    ten = payloads([{"image": "a", "decision": "accept", "generation": 300}] * 10)
    at = ten[4].index(b"\xac\x02")
    ten[4] = ten[4][:at] + b"\x05\x06" + ten[4][at + 2 :]
    assert list(decode_records(ten, DEFAULTS)["generation"]) == [300] * 4 + [5] + [300] * 5
