import contextlib
import gzip
import io
import random
import zlib

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from digitmill.records import mean_size, open_stream, read_frames, read_records
from schemas.failure import MAX_BYTES, ImageError
from tests.record_files import DAMAGE, FRAME, checksum, file_of, flipped, starts_of

LIMIT = MAX_BYTES + 2**16
ENDS = ("cut gzip", "checksum of the gzip")


def payloads(count: int, seed: int = 1) -> list[bytes]:
    source = random.Random(seed)
    return [b"%d:" % number + source.randbytes(source.randrange(200)) for number in range(count)]


def read(data: bytes) -> list[bytes | str]:
    frames = list(read_frames(io.BytesIO(data)))
    assert [frame.position for frame in frames] == list(range(len(frames)))
    return [
        frame.payload.code if isinstance(frame.payload, ImageError) else frame.payload for frame in frames
    ]


def sound(found: list[bytes | str]) -> list[bytes]:
    return [payload for payload in found if isinstance(payload, bytes)]


def errors(data: bytes) -> list[str]:
    frames = read_frames(io.BytesIO(data))
    return [frame.payload.detail for frame in frames if isinstance(frame.payload, ImageError)]


# ---- whole files


def test_what_tensorflow_writes_is_read(tmp_path):
    written = payloads(50)
    with tf.io.TFRecordWriter(str(tmp_path / "x")) as writer:
        for payload in written:
            writer.write(payload)
    data = (tmp_path / "x").read_bytes()
    assert data == file_of(written)
    assert read(data) == list(read_records(data)) == written


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_compression_is_told_from_content(tmp_path, compression):
    written = payloads(50)
    with tf.io.TFRecordWriter(str(tmp_path / "x"), compression) as writer:
        for payload in written:
            writer.write(payload)
    with open(tmp_path / "x", "rb") as file:
        assert [frame.payload for frame in read_frames(open_stream(file))] == written
    assert list(read_records((tmp_path / "x").read_bytes())) == written


def test_an_empty_file_has_no_record():
    assert read(b"") == list(read_records(b"")) == []
    assert mean_size(b"") == 0


def test_the_mean_size_is_that_of_the_first_records():
    data = file_of([b"a" * 10, b"b" * 20, b"c" * 1_000])
    assert mean_size(data, most=2) == FRAME + 15
    assert mean_size(data[:20]) == FRAME + 10


# ---- damage


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("hit", [0, 4, 9])
def test_records_that_are_not_hit_are_read(kind, hit):
    written = payloads(10)
    damage, readable = DAMAGE[kind]
    found = []
    ends = pytest.raises(ImageError, match="gzip data") if kind in ENDS else contextlib.nullcontext()
    with ends:
        found.extend(frame.payload for frame in read_frames(open_stream(io.BytesIO(damage(written, hit)))))
    assert sound(found) == [written[number] for number in readable(hit, 10)]


@given(st.integers(1, 30), st.integers(0, 5), st.data())
def test_a_damaged_byte_costs_one_record(count, seed, data):
    written = payloads(count, seed)
    whole = bytearray(file_of(written))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    found = read(bytes(whole))
    starts = starts_of(written)
    hit = next(number for number, end in enumerate(starts[1:]) if at < end)
    assert found == [*written[:hit], "CORRUPT", *written[hit + 1 :]]


@given(st.integers(1, 30), st.integers(0, 5), st.binary(min_size=1, max_size=600), st.data())
def test_all_records_outside_a_damaged_stretch_are_read(count, seed, noise, data):
    written = payloads(count, seed)
    whole = file_of(written)
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.sampled_from([start, min(len(whole), start + len(noise))]))  # inserted or overwritten
    noise = noise if end == start else noise[: end - start]
    found = read(whole[:start] + noise + whole[end:])
    ends = starts_of(written)
    untouched = [
        payload
        for payload, first, last in zip(written, ends[:-1], ends[1:], strict=True)
        if last <= start or first >= end
    ]
    # Others may be whole by chance: noise may repeat what it replaces.
    assert set(untouched) <= set(sound(found)) <= set(written)
    assert sound(found) == [payload for payload in written if payload in found]
    assert ("CORRUPT" in found) == (whole[start:end] != noise)


@given(st.integers(1, 20), st.data())
def test_a_cut_costs_what_is_cut(count, data):
    written = payloads(count)
    whole = file_of(written)
    kept = data.draw(st.integers(0, len(whole)))
    starts = starts_of(written)
    found = read(whole[:kept])
    complete = max(number for number, end in enumerate(starts) if end <= kept)
    assert found[:complete] == written[:complete]
    assert all(payload == "CORRUPT" for payload in found[complete:])
    assert bool(found[complete:]) == (kept != starts[complete])


@given(st.integers(1, 2_000), st.integers(0, 5), st.floats(0, 1))
def test_all_that_a_cut_gzip_holds_is_read(count, seed, share):
    written = payloads(count, seed)
    data = gzip.compress(file_of(written), compresslevel=1)
    data = data[: int(share * (len(data) - 1))]
    held = len(zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data))
    found = []
    with pytest.raises(ImageError) if data[:3] == b"\x1f\x8b\x08" else contextlib.nullcontext():
        found.extend(frame.payload for frame in read_frames(open_stream(io.BytesIO(data))))
    assert sound(found) == [
        payload for payload, end in zip(written, starts_of(written)[1:], strict=True) if end <= held
    ]


@given(st.binary(max_size=3_000))
def test_any_bytes_are_read_to_an_end(data):
    assert bool(read(data)) == bool(data)


def test_a_damaged_stretch_is_one_error_however_long():
    written = [bytes([number]) * 100 for number in range(20)]
    whole = bytearray(file_of(written))
    for number in (10, 11, 12):
        whole[number * (FRAME + 100)] ^= 1
    assert read(bytes(whole)) == [*written[:10], "CORRUPT", *written[13:]]


def test_records_are_counted_up_to_damage_and_named_by_their_byte_from_there():
    whole = file_of([b"a" * 100] * 6)

    def keys(data: bytes) -> list[str]:
        return [frame.key for frame in read_frames(open_stream(io.BytesIO(data)))]

    assert keys(whole) == keys(gzip.compress(whole)) == list("012345")
    assert keys(flipped(whole, 140)) == list("012345")  # the length of a damaged payload still counts
    damaged = ["0", "at-116", "at-232", "at-348", "at-464", "at-580"]
    assert keys(flipped(whole, 120)) == keys(gzip.compress(flipped(whole, 120))) == damaged
    assert keys(flipped(flipped(whole, 120), 236)) == ["0", "at-116", *damaged[3:]]
    assert keys(whole[:200]) == ["0", "at-116"]


def test_errors_name_the_byte_where_the_record_starts():
    whole = file_of([b"a" * 100] * 4)
    assert errors(flipped(whole, 120)) == ["the record at byte 116 is damaged: bytes 116 to 232 are lost"]
    assert errors(flipped(whole, 140)) == [
        "the record at byte 116 is damaged: its payload does not match its checksum"
    ]
    assert errors(whole[:200]) == [
        "the record at byte 116 is cut short, with 84 of 116 bytes: bytes 116 to 200 are lost"
    ]


@pytest.mark.parametrize(
    "gap",
    [bytes(1_500_000), b"\0\0\0\0\0\1" * 250_000, random.Random(1).randbytes(1_500_000)],
    ids=["zeros", "lengths", "noise"],
)
def test_a_gap_of_megabytes_is_one_error(gap):
    written = payloads(4)
    assert read(file_of(written[:2]) + gap + file_of(written[2:])) == [*written[:2], "CORRUPT", *written[2:]]


@pytest.mark.parametrize("length", [0, LIMIT + 1, 2**32, 2**63])
def test_no_record_is_found_by_a_length_that_none_has(length):
    header = length.to_bytes(8, "little")
    data = file_of([b"a"]) + b"damage" + header + checksum(header) + file_of([b"b"])
    assert read(data) == [b"a", "CORRUPT", b"b"]


@pytest.mark.parametrize("size", [1, 255, 256, 2**16 + 7, 2**24 + 2**8, LIMIT])
def test_a_record_of_any_length_is_found_behind_damage(size):
    assert read(b"damage" + file_of([bytes(size)])) == ["CORRUPT", bytes(size)]


@pytest.mark.parametrize("gap", [*range(1, 14), *range(490, 530), *range(4_080, 4_120)])
def test_records_are_found_at_any_distance(gap):
    assert read(b"x" * gap + file_of([b"a", b"b"])) == ["CORRUPT", b"a", b"b"]


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n" + bytes(100), b"x", bytes(12), bytes(5_000)])
def test_other_files_are_one_damaged_record(data):
    assert read(data) == ["CORRUPT"]


def test_a_payload_that_is_too_long_for_an_image_is_passed_over():
    data = file_of([b"b" * (LIMIT + 1), b"c"])
    assert read(data) == ["TOO_LARGE", b"c"]
    assert read(data[:LIMIT]) == ["CORRUPT"]


def test_the_longest_payload_is_read():
    written = [bytes(LIMIT)]
    assert read(file_of(written)) == written


def test_lengths_that_reach_beyond_the_end_are_read_in_a_row():
    length = (2**24).to_bytes(8, "little")
    count = 5_000
    assert read((length + checksum(length)) * count)[-1] == "CORRUPT"


# ---- files of our own


def test_a_file_of_our_own_with_any_damage_is_refused():
    data = file_of([b"first", b"second"])
    second = FRAME + len(b"first")
    damaged = [flipped(data, at) for at in range(second, len(data))]
    cut = [data[:end] for end in range(second + 1, len(data))]
    for bad in damaged + cut:
        with pytest.raises(ValueError, match=f"the record at byte {second} is "):
            list(read_records(bad))


def test_a_gzipped_file_of_our_own_with_damage_is_refused():
    data = gzip.compress(file_of(payloads(3)), mtime=0)
    for bad in (data[:-1], flipped(data, len(data) - 6), flipped(data, 20)):
        with pytest.raises(ValueError, match="damaged"):
            list(read_records(bad))


# ---- some of the records


@given(st.integers(0, 60), st.integers(1, 5), st.sets(st.integers(0, 10_000), max_size=3))
def test_every_so_many_th_record_makes_all_of_them(count, every, places):
    data = bytearray(file_of(payloads(count)))
    for place in places:
        if data:
            data[place % len(data)] ^= 1
    whole = [(frame.position, frame.key, repr(frame.payload)) for frame in read_frames(io.BytesIO(data))]
    parts = [
        (frame.position, frame.key, repr(frame.payload))
        for index in range(every)
        for frame in read_frames(io.BytesIO(data), only=(index, every))
    ]
    assert sorted(parts) == whole
