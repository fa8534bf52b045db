import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from digitmill.imaging.decoders.tiff_pages import TiffPages
from schemas.failure import FailureCode, ImageError
from tests.digitmill.imaging.decoders import pictures as p

FAX = ("tiff_ccitt", "group3", "group4")
BYTE_COUNTS = 279


def fax(compression: str) -> bytes:
    """Return a TIFF of one strip."""
    file = io.BytesIO()
    Image.fromarray(p.INK).convert("1").save(file, "TIFF", compression=compression)
    return file.getvalue()


def first_page(data: bytes) -> tifffile.TiffPage:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return file.pages[0]


@pytest.mark.parametrize("compression", FAX)
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.75])
def test_a_fax_without_its_last_lines_is_corrupt(compression: str, share: float) -> None:
    data = bytearray(fax(compression))
    tag = first_page(bytes(data)).tags[BYTE_COUNTS]
    struct.pack_into("<H" if tag.dtype == 3 else "<I", data, tag.valueoffset, 1 + int(share * tag.value[0]))
    with pytest.raises(ImageError) as caught:
        TiffPages(bytes(data)).pixels(0)
    assert caught.value.code is FailureCode.CORRUPT


@pytest.mark.parametrize("compression", FAX)
def test_most_flipped_bits_of_a_fax_are_noticed(compression: str) -> None:
    data = fax(compression)
    page = first_page(data)
    start, size = page.dataoffsets[0], page.databytecounts[0]
    bits = range(0, 8 * size, 3)
    other = 0
    for bit in bits:
        damaged = bytearray(data)
        damaged[start + bit // 8] ^= 1 << bit % 8
        try:
            other += not np.array_equal(TiffPages(bytes(damaged)).pixels(0), p.INK)
        except ImageError as error:
            assert error.code is FailureCode.CORRUPT
    # Where a code is turned into others of the same length, nothing in the file tells.
    assert other / len(bits) < 0.55


@pytest.mark.parametrize("big", [False, True])
def test_each_page_of_a_fax_is_its_own(big: bool) -> None:
    pictures = [np.roll(p.INK, shift, axis=1) for shift in range(5)]
    first, *others = (Image.fromarray(picture).convert("1") for picture in pictures)
    file = io.BytesIO()
    first.save(file, "TIFF", save_all=True, append_images=others, compression="group4", big_tiff=big)
    pages = TiffPages(file.getvalue())
    assert pages.count == 5
    for number in (4, 0, 2, 1, 3):
        np.testing.assert_array_equal(pages.pixels(number), pictures[number])


def test_pages_that_are_all_marked_as_thumbnails_are_pages() -> None:
    first, *others = [Image.fromarray(p.GRAY)] * 3
    file = io.BytesIO()
    first.save(file, "TIFF", save_all=True, append_images=others, tiffinfo={254: 1})
    assert TiffPages(file.getvalue()).count == 3
