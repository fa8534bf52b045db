import io
import struct
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from digitmill.imaging.headers.header import Kind, check_header, read_header
from schemas.failure import MAX_BYTES, FailureCode, ImageError
from tests.digitmill.imaging import hostile


def encoded(kind: str, width: int = 40, height: int = 30) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((height, width), np.uint8)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", list(Kind))
def test_the_kind_is_told_by_the_bytes(kind: Kind) -> None:
    assert check_header(encoded(kind.upper())) is kind


def png_of_size(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + bytes(9)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", FailureCode.EMPTY),
        (b"hello, I am text", FailureCode.UNSUPPORTED),
        (b"%PDF-1.4", FailureCode.UNSUPPORTED),
        (b"RIFF\0\0\0\0WAVE", FailureCode.UNSUPPORTED),
        (b"\x89PNG\r\n\x1a\n", FailureCode.CORRUPT),
        (b"\xff\xd8\xff\xe0", FailureCode.CORRUPT),
        (b"GIF89a", FailureCode.CORRUPT),
        (b"BM", FailureCode.CORRUPT),
        (b"II*\x00", FailureCode.CORRUPT),
        (b"RIFF\0\0\0\0WEBP", FailureCode.CORRUPT),
        (bytes(MAX_BYTES + 1), FailureCode.TOO_LARGE),
        (png_of_size(20_000, 20_000), FailureCode.TOO_LARGE),
        (png_of_size(2**32 - 1, 2**32 - 1), FailureCode.TOO_LARGE),
    ],
)
def test_what_may_not_be_decoded_is_named(data: bytes, code: FailureCode) -> None:
    with pytest.raises(ImageError) as caught:
        check_header(data)
    assert caught.value.code is code
    assert caught.value.detail


@pytest.mark.parametrize("kind", ["JPEG", "BMP", "TIFF", "GIF"])
def test_the_pixel_cap_holds_for_every_kind(kind: str) -> None:
    with pytest.raises(ImageError) as caught:
        check_header(encoded(kind, width=8200, height=4100))
    assert caught.value.code is FailureCode.TOO_LARGE


PIXELS_AT_8 = [(273, 4, 1, 8), (279, 4, 1, 8)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(hostile.png(5000, 5000), FailureCode.TOO_LARGE, id="PNG without pixels"),
        pytest.param(hostile.png(0, 28), FailureCode.CORRUPT, id="PNG without a column"),
        pytest.param(hostile.png(28, 28)[:-12], FailureCode.CORRUPT, id="PNG without an end"),
        pytest.param(
            hostile.png(28, 28, struct.pack(">I4s", 2**31 - 1, b"IDAT")),
            FailureCode.CORRUPT,
            id="PNG chunk of 2 GB",
        ),
        pytest.param(
            hostile.gif((10, 10), (9000, 9000)), FailureCode.TOO_LARGE, id="GIF frame beyond the screen"
        ),
        pytest.param(
            hostile.gif((65535, 65535), (1, 1)), FailureCode.TOO_LARGE, id="GIF screen beyond the frame"
        ),
        pytest.param(hostile.gif((10, 10), (10, 10))[:-1], FailureCode.CORRUPT, id="GIF without a trailer"),
        pytest.param(hostile.bmp(9000, -9000), FailureCode.TOO_LARGE, id="BMP from the top down"),
        pytest.param(hostile.bmp(-(2**31), 2), FailureCode.TOO_LARGE, id="BMP of negative width"),
        pytest.param(hostile.bmp(64, 64, rows=63), FailureCode.CORRUPT, id="BMP with a row too few"),
        pytest.param(hostile.bmp(9000, 9000, compression=1), FailureCode.TOO_LARGE, id="run-length BMP"),
        pytest.param(
            hostile.tiff([(256, 4, 1, 9000), (257, 4, 1, 9000), *PIXELS_AT_8]),
            FailureCode.TOO_LARGE,
            id="TIFF",
        ),
        pytest.param(
            hostile.tiff([(256, 4, 1, 9), *PIXELS_AT_8]), FailureCode.CORRUPT, id="TIFF without height"
        ),
        pytest.param(
            hostile.tiff(PIXELS_AT_8, count=65535), FailureCode.CORRUPT, id="TIFF with entries it has not"
        ),
        pytest.param(
            hostile.tiff([(256, 4, 1, 9), (257, 4, 1, 9), (273, 4, 2**32 - 1, 8), (279, 4, 2**32 - 1, 8)]),
            FailureCode.CORRUPT,
            id="TIFF of 4 billion strips",
        ),
        pytest.param(
            hostile.tiff([(256, 4, 1, 9), (257, 4, 1, 9), (273, 4, 1, 8), (279, 4, 1, 2**32 - 1)]),
            FailureCode.CORRUPT,
            id="TIFF with a strip of 4 GB",
        ),
        pytest.param(
            hostile.riff(hostile.canvas(10, 10), hostile.lossless_frame(16000, 16000)),
            FailureCode.TOO_LARGE,
            id="WebP frame beyond the canvas",
        ),
        pytest.param(
            hostile.riff(hostile.canvas(2**24, 2**24), hostile.lossless_frame(10, 10)),
            FailureCode.TOO_LARGE,
            id="WebP canvas beyond the frame",
        ),
        pytest.param(hostile.riff(hostile.canvas(10, 10)), FailureCode.CORRUPT, id="WebP without a frame"),
        pytest.param(
            hostile.jpeg_with_frames((64, 48), (9000, 9000)), FailureCode.CORRUPT, id="JPEG with 2 frames"
        ),
        pytest.param(
            hostile.jpeg_with_frames((65535, 65535)), FailureCode.TOO_LARGE, id="JPEG of 4 gigapixels"
        ),
        pytest.param(hostile.jpeg_with_frames(), FailureCode.CORRUPT, id="JPEG without a frame"),
    ],
)
def test_a_structure_that_lies_is_found_out_before_a_decoder_runs(data: bytes, code: FailureCode) -> None:
    with pytest.raises(ImageError) as caught:
        check_header(data)
    assert caught.value.code is code


def test_a_tiff_of_65535_huge_entries_takes_neither_time_nor_memory() -> None:
    entries = [(60000, 1, 2**25, 0)] * 65531
    data = hostile.tiff([(256, 4, 1, 9), (257, 4, 1, 9), *entries, *PIXELS_AT_8])
    tracemalloc.start()
    read_header(data)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("name", hostile.whole_files())
def test_what_is_cut_off_is_corrupt(name: str) -> None:
    data = hostile.whole_files()[name]
    for length in range(37, len(data) - 1, 37):
        with pytest.raises(ImageError) as caught:
            check_header(data[:length])
        assert caught.value.code is FailureCode.CORRUPT


@pytest.mark.parametrize("name", hostile.whole_files())
def test_what_follows_the_end_does_no_harm(name: str) -> None:
    assert read_header(hostile.whole_files()[name] + b"\0garbage").width == 64


@pytest.mark.parametrize(
    ("data", "plain"),
    [
        (data, name.split()[-1] in ("PNG", "JPEG", "BMP") or "palette" in name)
        for name, data in hostile.whole_files().items()
    ]
    + [
        (hostile.png(2000, 2000, hostile.chunk(b"IDAT", b"")), False),
        (hostile.png(28, 28, hostile.chunk(b"iCCP", b""), hostile.chunk(b"IDAT", b"")), False),
        (hostile.png(28, 28, hostile.chunk(b"tEXt", b"hello"), hostile.chunk(b"IDAT", b"")), True),
        (hostile.bmp(28, 28, compression=1), False),
    ],
)
def test_the_suspicious_few_are_told_from_the_plain(data: bytes, plain: bool) -> None:
    assert read_header(data).plain is plain
