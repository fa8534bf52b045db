import io
import random

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from digitmill.records.resynchronisation import FRAME, MAX_RECORD, _masked, mean_size, read_frames
from schemas.failure import MAX_BYTES, ImageError


def framed(payload: bytes) -> bytes:
    length = len(payload).to_bytes(8, "little")
    return length + _masked(length) + payload + _masked(payload)


def payloads(count: int, seed: int = 1) -> list[bytes]:
    source = random.Random(seed)
    return [b"%d:" % number + source.randbytes(source.randrange(200)) for number in range(count)]


def read(data: bytes, **options) -> list[bytes | str | None]:
    frames = list(read_frames(io.BytesIO(data), **options))
    assert [frame.position for frame in frames] == list(range(len(frames)))
    return [
        frame.payload.code if isinstance(frame.payload, ImageError) else frame.payload for frame in frames
    ]


def test_what_tensorflow_writes_is_read(tmp_path):
    written = payloads(50)
    with tf.io.TFRecordWriter(str(tmp_path / "x")) as writer:
        for payload in written:
            writer.write(payload)
    data = (tmp_path / "x").read_bytes()
    assert data == b"".join(map(framed, written))
    assert read(data) == written


def test_an_empty_file_has_no_record():
    assert read(b"") == []
    assert mean_size(io.BytesIO(b"")) == 0


def test_what_is_not_wanted_is_skipped():
    written = payloads(9)
    expected = [payload if number % 3 == 1 else None for number, payload in enumerate(written)]
    assert read(b"".join(map(framed, written)), wanted=lambda position: position % 3 == 1) == expected


@given(st.integers(1, 30), st.integers(0, 5), st.data())
@settings(deadline=None)
def test_a_damaged_byte_costs_one_record(count, seed, data):
    written = payloads(count, seed)
    whole = bytearray(b"".join(map(framed, written)))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    found = read(bytes(whole))
    ends = [sum(FRAME + len(payload) for payload in written[: number + 1]) for number in range(count)]
    hit = next(number for number, end in enumerate(ends) if at < end)
    sound = [payload for payload in found if isinstance(payload, bytes)]
    # Other records are there, in order; how many a damaged length took along is told by room alone.
    assert sound == written[:hit] + written[hit + 1 :]
    lost = found[hit : len(found) - (count - hit - 1)]
    assert lost == ["CORRUPT"] * len(lost)
    assert lost
    if at - (ends[hit] - FRAME - len(written[hit])) >= 12:
        assert len(lost) == 1


@given(st.integers(1, 20), st.data())
@settings(deadline=None)
def test_a_cut_costs_what_is_cut(count, data):
    written = payloads(count)
    whole = b"".join(map(framed, written))
    kept = data.draw(st.integers(0, len(whole)))
    ends = [sum(FRAME + len(payload) for payload in written[:number]) for number in range(count + 1)]
    found = read(whole[:kept])
    complete = max(number for number, end in enumerate(ends) if end <= kept)
    assert found[:complete] == written[:complete]
    assert all(payload == "CORRUPT" for payload in found[complete:])
    assert bool(found[complete:]) == (kept != ends[complete])


def test_several_records_in_a_damaged_stretch_are_counted_by_their_size():
    written = [bytes([number]) * 100 for number in range(20)]
    whole = bytearray(b"".join(map(framed, written)))
    size = FRAME + 100
    for number in (10, 11, 12):
        whole[number * size] ^= 1
    assert read(bytes(whole)) == written[:10] + ["CORRUPT"] * 3 + written[13:]


@pytest.mark.slow
def test_a_gap_of_megabytes_is_searched():
    written = payloads(4)
    whole = b"".join(map(framed, written[:2])) + bytes(3_000_000) + b"".join(map(framed, written[2:]))
    found = read(whole)
    assert found[:2] + found[-2:] == written
    assert set(found[2:-2]) == {"CORRUPT"}


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n" + bytes(100), b"x", bytes(12), bytes(5_000)])
def test_other_files_are_one_damaged_record(data):
    assert read(data) == ["CORRUPT"]


def test_a_record_that_is_too_long_to_be_an_image_is_not_read():
    written = [b"a" * MAX_RECORD, b"b" * (MAX_RECORD + 1), b"c"]
    assert read(b"".join(map(framed, written))) == [written[0], "TOO_LARGE", written[2]]


def test_the_largest_image_is_read_with_its_name_and_label():
    record = bytes(MAX_BYTES + 2**16)
    assert read(framed(record)) == [record]


def test_the_mean_size_is_that_of_the_first_records():
    data = b"".join(map(framed, [b"a" * 10, b"b" * 20, b"c" * 1_000]))
    assert mean_size(io.BytesIO(data), most=2) == FRAME + 15
