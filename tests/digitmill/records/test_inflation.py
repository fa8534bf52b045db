import gzip
import io
import random

import pytest

from digitmill.records import InflatedStream, Inflation, inflation, open_stream
from schemas.failure import FailureCode, ImageError
from tests.record_files import flipped

CONTENT = random.Random(1).randbytes(100_000)


def read_to_the_error(data: bytes, *, size: int) -> tuple[bytes, ImageError]:
    stream, pieces = InflatedStream(io.BytesIO(data)), []
    with pytest.raises(ImageError) as error:
        pieces.extend(iter(lambda: stream.read(size), b""))
    with pytest.raises(ImageError):
        stream.read(1)
    return b"".join(pieces), error.value


def test_a_file_is_read_gzipped_or_not() -> None:
    for data in (CONTENT, gzip.compress(CONTENT), gzip.compress(CONTENT[:99]) + gzip.compress(CONTENT[99:])):
        stream = open_stream(io.BytesIO(data))
        assert stream.read(10) + stream.read(200_000) == CONTENT
        assert stream.read(1) == b""


@pytest.mark.parametrize("size", [1_000, 2**20])
def test_what_comes_before_damage_is_read(size: int) -> None:
    whole = gzip.compress(CONTENT)
    content, error = read_to_the_error(flipped(whole, len(whole) - 6), size=size)
    assert content == CONTENT
    assert error.code is FailureCode.CORRUPT
    content, error = read_to_the_error(whole[:50_000], size=size)
    assert len(content) > 45_000
    assert CONTENT.startswith(content)
    assert "gzip data is damaged" in error.detail


def test_a_file_that_inflates_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflation, "FREE_BYTES", 2**20)
    content, error = read_to_the_error(gzip.compress(bytes(2**24)), size=2**24)
    assert error.code is FailureCode.TOO_LARGE
    assert len(content) < 2**22


def test_the_limit_grows_with_the_file() -> None:
    count = Inflation()
    count.add(inflation.FREE_BYTES, packed=1)
    with pytest.raises(ImageError):
        count.add(1, packed=1)
    count.add(1, packed=inflation.FREE_BYTES)
