import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from digitmill.imaging.batch import canonical_batch, decode_batch
from digitmill.imaging.canonical import canonicalize
from digitmill.imaging.decode import decode
from schemas.failure import FailureCode, ImageError

DENIED = ImageError(FailureCode.DENIED, "no")


def test_a_bad_image_costs_its_own_slot(digits: np.ndarray, png_of: Callable) -> None:
    contents = [png_of(digits[0]), b"", DENIED, png_of(digits[1]), png_of(digits[2])[:60], b"text"]
    batch = decode_batch(iter(contents), len(contents))
    codes = [error and error.code for error in batch.errors]
    assert codes == [
        None,
        FailureCode.EMPTY,
        FailureCode.DENIED,
        None,
        FailureCode.CORRUPT,
        FailureCode.UNSUPPORTED,
    ]
    np.testing.assert_array_equal(batch.digits[[0, 3]], digits[:2])
    assert not batch.digits[[1, 2, 4, 5]].any()


def test_every_slot_is_what_canonicalize_makes_of_its_image(digits: np.ndarray, png_of: Callable) -> None:
    pictures = [*digits[:20], *(255 - digits[20:40]), *(np.pad(digit, 9) for digit in digits[40:60])]
    batch = decode_batch(map(png_of, pictures), len(pictures))
    assert not any(batch.errors)
    np.testing.assert_array_equal(batch.digits, np.stack([canonicalize(picture) for picture in pictures]))


@pytest.mark.parametrize("level", [0, 20, 255])
def test_a_blank_native_picture_is_blank(level: int, png_of: Callable) -> None:
    batch = decode_batch([png_of(np.full((28, 28), level, np.uint8))], 1)
    assert batch.errors[0].code is FailureCode.BLANK
    assert not batch.digits.any()


def test_no_images_are_no_digits() -> None:
    assert decode_batch([], 0).digits.shape == (0, 28, 28)


@pytest.mark.parametrize("size", [0, 1, 3])
def test_contents_that_do_not_match_the_size_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="zip"):
        decode_batch([b"a", b"b"], size)


def test_decoded_pictures_are_canonicalized_as_one_by_one() -> None:
    rng = np.random.default_rng(5)
    native = np.zeros((6, 28, 28), np.uint8)
    native[:, 8:20, 10:18] = rng.integers(100, 255, (6, 12, 8))
    native[2] = 0
    native[4] = 255 - native[4]
    large = [255 - cv2.resize(native[0], (90, 70)), np.dstack([native[1]] * 3), native[3]]
    for pictures in (native, large, np.zeros((0, 28, 28), np.uint8)):
        batch = canonical_batch(pictures)
        assert batch.digits.shape == (len(pictures), 28, 28)
        for picture, digit, error in zip(pictures, batch.digits, batch.errors, strict=True):
            if error is None:
                assert (digit == canonicalize(picture)).all()
            else:
                assert error.code == "BLANK"
                assert not digit.any()
    assert [error is None for error in canonical_batch(native).errors] == [
        True,
        True,
        False,
        True,
        True,
        True,
    ]


def test_warnings_of_the_libraries_are_dropped(png_of: Callable, capfd: pytest.CaptureFixture) -> None:
    picture = np.zeros((28, 28), np.uint8)
    picture[4:24, 12:16] = 255
    file = png_of(picture)
    # A transparent gray of the wrong length, with the right checksum.
    chunk = b"tRNS" + bytes(6)
    odd = file[:33] + struct.pack(">I", 6) + chunk + struct.pack(">I", zlib.crc32(chunk)) + file[33:]
    assert decode_batch([odd], 1).errors == [None]
    decode(odd)
    assert capfd.readouterr().err == ""
