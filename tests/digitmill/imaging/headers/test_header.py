import io
import struct

import numpy as np
import pytest
from PIL import Image

from digitmill.imaging.headers.header import Kind, read_header
from schemas.failure import MAX_BYTES, FailureCode, ImageError
from tests.digitmill.imaging import hostile

READ_HERE = [name for name in hostile.whole_files() if "PNG" in name or "JPEG" in name]


def encoded(kind: str, width: int = 40, height: int = 30) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((height, width), np.uint8)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "pillow_name"),
    [(kind, kind.upper()) for kind in Kind if kind not in (Kind.JPEG_2000, Kind.PNM, Kind.HEIC)]
    + [(Kind.JPEG_2000, "JPEG2000"), (Kind.PNM, "PPM")],
)
def test_the_kind_is_told_by_the_bytes(kind: Kind, pillow_name: str) -> None:
    assert read_header(encoded(pillow_name)).kind is kind


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", Kind.HEIC),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", Kind.HEIC),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", Kind.AVIF),
        (b"\0\0\0\x18ftypavis\0\0\0\0msf1avis", Kind.AVIF),
        (b"MM\0+\0\x08\0\0" + bytes(8), Kind.TIFF),
        (b"\xff\x4f\xff\x51\0", Kind.JPEG_2000),
        (b"P4\n# made by hand\n8 8\n" + bytes(8), Kind.PNM),
        (b"\r\n%PDF-1.4", Kind.PDF),
    ],
)
def test_kinds_with_several_signatures(data: bytes, kind: Kind) -> None:
    assert read_header(data).kind is kind


def png_of_size(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + bytes(9)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", FailureCode.EMPTY),
        (b"hello, I am text", FailureCode.UNSUPPORTED),
        (b"RIFF\0\0\0\0WAVE", FailureCode.UNSUPPORTED),
        (b"\x89PNG\r\n\x1a\n", FailureCode.CORRUPT),
        (b"\xff\xd8\xff\xe0", FailureCode.CORRUPT),
        (bytes(MAX_BYTES + 1), FailureCode.TOO_LARGE),
        (png_of_size(20_000, 20_000), FailureCode.TOO_LARGE),
        (png_of_size(2**32 - 1, 2**32 - 1), FailureCode.TOO_LARGE),
    ],
)
def test_what_may_not_be_decoded_is_named(data: bytes, code: FailureCode) -> None:
    with pytest.raises(ImageError) as caught:
        read_header(data)
    assert caught.value.code is code
    assert caught.value.detail


def test_the_pixel_cap_holds() -> None:
    with pytest.raises(ImageError) as caught:
        read_header(encoded("JPEG", width=8200, height=4100))
    assert caught.value.code is FailureCode.TOO_LARGE


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
        read_header(data)
    assert caught.value.code is code


@pytest.mark.parametrize("name", READ_HERE)
def test_what_is_cut_off_is_corrupt(name: str) -> None:
    data = hostile.whole_files()[name]
    for length in range(37, len(data) - 1, 37):
        with pytest.raises(ImageError) as caught:
            read_header(data[:length])
        assert caught.value.code is FailureCode.CORRUPT


@pytest.mark.parametrize("name", READ_HERE)
def test_what_follows_the_end_does_no_harm(name: str) -> None:
    assert read_header(hostile.whole_files()[name] + b"\0garbage").width == 64


@pytest.mark.parametrize(
    ("data", "plain"),
    [(data, name in READ_HERE) for name, data in hostile.whole_files().items()]
    + [
        (hostile.png(2000, 2000, hostile.chunk(b"IDAT", b"")), False),
        (hostile.png(28, 28, hostile.chunk(b"iCCP", b""), hostile.chunk(b"IDAT", b"")), False),
        (hostile.png(28, 28, hostile.chunk(b"tEXt", b"hello"), hostile.chunk(b"IDAT", b"")), True),
    ],
)
def test_the_suspicious_few_are_told_from_the_plain(data: bytes, plain: bool) -> None:
    assert read_header(data).plain is plain
