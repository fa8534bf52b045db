"""Small gray PNGs come out of a batch as OpenCV alone decodes them, whole, odd and damaged."""

import contextlib
import io
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import deflate
import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from digitmill.imaging import batch
from digitmill.imaging.batch import decode_batch
from digitmill.imaging.canonical import canonicalize
from digitmill.imaging.decode import decode
from digitmill.imaging.small_png import Decoded, decode_small, small_size
from schemas.failure import ImageError
from tests.digitmill.imaging.decoders.mutants import mutants
from tests.digitmill.imaging.hostile import chunk

NONE, LEFT, UP, AVERAGE, PAETH = range(5)


def by_opencv(data: bytes) -> np.ndarray | str:
    try:
        return canonicalize(decode(data))
    except ImageError as error:
        return f"{error.code} {error.detail}"


def check(files: Sequence[bytes]) -> int:
    """Compare a batch with OpenCV, file by file, and return how many were decoded by either."""
    found = decode_batch(files, len(files))
    for number, (data, digit, error) in enumerate(zip(files, found.digits, found.errors, strict=True)):
        expected = by_opencv(data)
        if isinstance(expected, str):
            assert f"{error.code} {error.detail}" == expected, (number, error)
        else:
            assert error is None, (number, error)
            np.testing.assert_array_equal(digit, expected, err_msg=str(number))
    return found.errors.count(None)


def places_of(files: Sequence[bytes]) -> list[int]:
    """Return which files need no decoder."""
    return [place for place, file in enumerate(files) if len(decoded_of([file]).places)]


def decoded_of(files: Sequence[bytes]) -> Decoded:
    """Decode files of one size."""
    [size] = set(map(small_size, files))
    assert size is not None
    return decode_small(files, size)


def filtered(picture: np.ndarray, filters: Sequence[int]) -> bytes:
    """Return the rows of a picture, each by its filter, from the standard's own words."""
    padded = np.pad(picture.astype(int), ((1, 0), (1, 0)))
    left, up, corner = padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1]
    guess = left + up - corner
    by_left, by_up, by_corner = abs(guess - left), abs(guess - up), abs(guess - corner)
    paeth = np.where(
        (by_left <= by_up) & (by_left <= by_corner), left, np.where(by_up <= by_corner, up, corner)
    )
    predicted = np.stack([np.zeros_like(left), left, up, (left + up) // 2, paeth])
    rows = []
    for number, each in enumerate(filters):
        known = predicted[each, number] if each <= PAETH else 0
        rows.append(bytes([each]) + ((picture[number].astype(int) - known) % 256).astype(np.uint8).tobytes())
    return b"".join(rows)


def png(
    rows: bytes, *, level: int = 6, window: int = 15, strategy: int = 0, before: bytes = b"", **more: Any
) -> bytes:
    """Return a PNG of gray pixels."""
    packer = zlib.compressobj(level, zlib.DEFLATED, window, 9, strategy)
    return of_stream(packer.compress(rows) + packer.flush(), before=before, **more)


def of_stream(
    stream: bytes,
    *,
    before: bytes = b"",
    parts: int = 1,
    behind: bytes = b"",
    size: tuple[int, int] = (28, 28),
) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size[::-1], 8, 0, 0, 0, 0))
    length = -(-len(stream) // parts)
    pixels = (chunk(b"IDAT", stream[start : start + length]) for start in range(0, len(stream), length))
    return b"\x89PNG\r\n\x1a\n" + head + before + b"".join(pixels) + chunk(b"IEND", b"") + behind


def by_pillow(picture: np.ndarray, **options: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", **options)
    return file.getvalue()


def write_opencv(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


def write_libpng(picture: np.ndarray) -> bytes:
    return imagecodecs.png_encode(picture, level=9)


WRITERS = (write_opencv, by_pillow, write_libpng)


@pytest.mark.parametrize("write", WRITERS)
def test_files_of_everyday_writers_need_no_decoder(write: Callable, digits: np.ndarray) -> None:
    files = [*map(write, digits[:300])]
    decoded = decoded_of(files)
    np.testing.assert_array_equal(decoded.places, np.arange(300))
    np.testing.assert_array_equal(decoded.pixels, digits[:300])


def test_a_batch_of_all_writers_and_filters_is_what_opencv_makes_of_each(digits: np.ndarray) -> None:
    generator = np.random.default_rng(3)
    files = [write(digit) for digit in digits[:60] for write in WRITERS]
    files += [png(filtered(digit, [kind] * 28)) for digit in digits[60:90] for kind in range(5)]
    files += [png(filtered(digit, generator.integers(0, 5, 28))) for digit in digits[90:200]]
    files += [png(filtered(digit, generator.integers(0, 2, 28))) for digit in digits[200:240]]
    order = generator.permutation(len(files))
    files = [files[number] for number in order]
    assert places_of(files) == [*range(len(files))]
    assert check(files) == len(files)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("shape", [(64, 64), (1, 1), (1, 256), (256, 9), (48, 33), (256, 256)], ids=str)
def test_pictures_of_other_sizes_need_no_decoder(write: Callable, shape: tuple[int, int]) -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (5, *shape)).astype(np.uint8)
    files = [*map(write, pictures)]
    assert {*map(small_size, files)} == {shape}
    decoded = decoded_of(files)
    np.testing.assert_array_equal(decoded.places, np.arange(5))
    np.testing.assert_array_equal(decoded.pixels, pictures)


def test_sizes_may_be_mixed_and_large_ones_are_left_to_opencv(digits: np.ndarray) -> None:
    sides = [28, 64, 256, 257, 64, 40, 300, 28, 64, 28] * 3
    pictures = [cv2.resize(255 - digit, (side, side)) for digit, side in zip(digits, sides, strict=False)]
    files = [write_opencv(picture) for picture in pictures]
    assert [small_size(file) for file in files] == [(side, side) if side <= 256 else None for side in sides]
    assert check(files) == len(files)


def test_every_image_keeps_its_slot_among_sizes_and_damaged_files(digits: np.ndarray) -> None:
    rng = np.random.default_rng(6)
    sides = rng.choice([28, 40, 64, 200], 400).tolist()
    files = [
        write_opencv(cv2.resize(255 - digit, (side, side)))
        for digit, side in zip(digits, sides, strict=False)
    ]
    for number in range(0, len(files), 7):
        place = int(rng.integers(40, len(files[number])))
        files[number] = files[number][:place] + b"\x55" + files[number][place + 1 :]
    assert 300 < check(files) < 400


def test_many_of_the_largest_size_are_not_inflated_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    files = [by_pillow(rng.integers(0, 256, (256, 256)).astype(np.uint8)) for _ in range(40)]
    together = []

    def counted(some: Sequence[bytes], size: tuple[int, int]) -> Decoded:
        together.append(len(some))
        return decode_small(some, size)

    monkeypatch.setattr(batch, "decode_small", counted)
    check(files)
    assert max(together) < 20
    assert sum(together) == 40


@pytest.mark.parametrize("parts", [1, 2, 7])
@pytest.mark.parametrize("kind", range(5))
def test_scans_of_every_filter_in_several_chunks(kind: int, parts: int, digits: np.ndarray) -> None:
    pictures = [cv2.resize(255 - digit, (90, 70)) for digit in digits[:20]]
    streams = [zlib.compress(filtered(picture, [kind] * 70)) for picture in pictures]
    files = [of_stream(stream, parts=parts, size=(70, 90)) for stream in streams]
    assert places_of(files) == [*range(20)]
    assert check(files) == 20
    damaged = [with_right_checksum(file[:60] + bytes([file[60] ^ 4]) + file[61:]) for file in files]
    check(damaged)


@pytest.mark.parametrize("window", range(9, 16))
@pytest.mark.parametrize("side", [28, 64, 200])
def test_a_window_that_is_too_narrow_for_the_picture_is_left_to_opencv(window: int, side: int) -> None:
    rng = np.random.default_rng(2)
    picture = np.tile(rng.integers(0, 256, (side // 4, side)), (4, 1)).astype(np.uint8)
    file = png(filtered(picture, [NONE] * side), window=window, size=(side, side))
    assert bool(places_of([file])) == (2**window >= min(side * (side + 1), 2**15))
    check([file])


def test_a_damaged_size_or_another_kind_is_not_small(digits: np.ndarray) -> None:
    file = write_opencv(digits[0])
    assert not any(small_size(file[:length]) for length in range(33))
    assert not small_size(file[:20] + b"\1" + file[21:])
    assert not small_size(by_pillow(np.zeros((28, 28, 3), np.uint8)))
    assert not small_size(of_stream(zlib.compress(b""), size=(0, 28)))
    assert not small_size(of_stream(zlib.compress(b""), size=(28, 2**31 - 1)))


@given(st.data())
def test_any_picture_filters_and_packing_give_what_opencv_gives(data: st.DataObject) -> None:
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    picture = generator.integers(0, data.draw(st.sampled_from([2, 256])), (28, 28)).astype(np.uint8)
    if data.draw(st.booleans()):
        picture[:4] = picture[-4:] = picture[:, :4] = picture[:, -4:] = 0
    rows = filtered(picture, data.draw(st.lists(st.integers(0, 5), min_size=28, max_size=28)))
    rows = rows[: len(rows) - data.draw(st.sampled_from([0, 0, 0, 1, 29]))]
    rows += bytes(data.draw(st.sampled_from([0, 0, 0, 1, 29])))
    file = png(
        rows,
        level=data.draw(st.integers(0, 9)),
        window=data.draw(st.integers(9, 15)),
        strategy=data.draw(st.sampled_from([zlib.Z_DEFAULT_STRATEGY, zlib.Z_RLE, zlib.Z_FIXED])),
        before=data.draw(st.sampled_from([b"", b"", chunk(b"pHYs", bytes(9)), chunk(b"tRNS", b"\0\xff")])),
    )
    whole = data.draw(st.booleans())
    check([file if whole else file[: data.draw(st.integers(0, len(file)))]])


def odd_files() -> dict[str, bytes]:
    picture = np.zeros((28, 28), np.uint8)
    picture[4:24, 12:16] = np.arange(80).reshape(20, 4) + 150
    rows = filtered(picture, [PAETH] * 28)
    stream = zlib.compress(rows, 9)
    wrong_sum = stream[:-1] + bytes([stream[-1] ^ 1])
    whole = of_stream(stream)
    return {
        "a checksum of the pixels' chunk": whole.replace(stream, stream[:20] + b"\0" + stream[21:]),
        "a checksum of the pixels": of_stream(wrong_sum),
        "an unknown filter": png(filtered(picture, [NONE] * 27 + [5])),
        "a row too few": png(rows[:-29]),
        "half a row too few": png(rows[:-9]),
        "a row too many": png(rows + bytes(29)),
        "bytes behind the pixels": of_stream(stream + b"more"),
        "a stream that is cut off": of_stream(stream[:-6]),
        "two chunks of pixels": of_stream(stream, parts=2),
        "an empty chunk of pixels": whole.replace(chunk(b"IDAT", stream), chunk(b"IDAT", b"")),
        "a narrow window": png(filtered(np.tile(picture[4:8], (7, 1)), [NONE] * 28), window=9),
        "a window that lies": of_stream(b"\x08\x1d" + stream[2:]),
        "a preset dictionary": of_stream(b"\x78\xbb" + stream[2:]),
        "bytes behind the end": of_stream(stream, behind=b"garbage"),
        "no end": whole[:-12],
        "a wrong checksum of the end": whole[:-1] + b"\0",
        "a wrong checksum of the header": whole[:29] + b"\0" + whole[30:],
        "a length that lies": whole[:33] + b"\xff\xff\xff\xff" + whole[37:],
        "two pictures": whole + whole,
        "a comment": of_stream(stream, before=chunk(b"tEXt", b"a\0b")),
        "a transparent gray": of_stream(stream, before=chunk(b"tRNS", b"\0\0")),
        "nothing but a header": whole[:33],
    }


@pytest.mark.parametrize("name", odd_files())
def test_odd_files_are_taken_and_refused_as_by_opencv(name: str) -> None:
    check([odd_files()[name]])


def with_right_checksum(data: bytes) -> bytes:
    """Return a damaged file whose chunk of pixels has the checksum that it should have."""
    place = data.find(b"IDAT")
    if place < 4 or place + 8 > len(data):
        return data
    end = place + 4 + int.from_bytes(data[place - 4 : place])
    return data[:end] + zlib.crc32(data[place:end]).to_bytes(4) + data[end + 4 :]


def damaged(digits: np.ndarray, count: int, *, seed: int) -> list[bytes]:
    whole = [write(digit) for digit in digits[:20] for write in WRITERS]
    broken = [data for _, data in mutants(whole, count, seed=seed)]
    return [data if number % 2 else with_right_checksum(data) for number, data in enumerate(broken)]


def test_1000_damaged_files_are_taken_and_refused_as_by_opencv(digits: np.ndarray) -> None:
    decoded = check(damaged(digits, 1_000, seed=1))
    assert 15 < decoded < 900


def unchecked(digits: np.ndarray, count: int, *, seed: int) -> list[bytes]:
    """Return files with damage that no checksum shows: libdeflate inflates them, to other pixels."""
    generator = np.random.default_rng(seed)
    streams = [zlib.compress(filtered(digit, [LEFT, PAETH] * 14)) for digit in digits[:20]]
    found: list[bytes] = []
    while len(found) < count:
        stream = bytearray(streams[len(found) % len(streams)])
        # Most of the damage hits the codes' lengths, which stand in front.
        stream[generator.integers(2, 40 if generator.random() < 0.7 else len(stream) - 4)] ^= 1 << int(
            generator.integers(8)
        )
        with contextlib.suppress(deflate.DeflateError):
            rows = deflate.deflate_decompress(stream[2:-4], 28 * 29)
            found.append(of_stream(bytes(stream[:-4]) + zlib.adler32(rows).to_bytes(4)))
    return found


def test_libdeflate_takes_no_stream_that_opencv_refuses(digits: np.ndarray) -> None:
    files = unchecked(digits, 500, seed=4)
    assert len(places_of(files)) > 250
    check(files)


@pytest.mark.slow
def test_10000_damaged_files_are_taken_and_refused_as_by_opencv(digits: np.ndarray) -> None:
    files = damaged(digits, 10_000, seed=2)
    decoded = sum(check(files[start : start + 500]) for start in range(0, len(files), 500))
    assert 200 < decoded < 9_000
