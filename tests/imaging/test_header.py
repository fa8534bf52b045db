import io
import struct

import numpy as np
import pytest
from PIL import Image

from imaging.errors import ImageError
from imaging.header import MAX_BYTES, Kind, check_header
from schemas.failure import FailureCode


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
