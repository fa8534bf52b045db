"""Files that were once answered wrongly, by what was wrong: see the folder's README."""

import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from digitmill.imaging.batch import decode_batch
from digitmill.imaging.decoders import open_pages
from digitmill.imaging.headers.header import read_header
from schemas.failure import FailureCode, ImageError

BY_NAME = ("tiff-planar-16bit", "bmp-rle")
"""Folders whose files begin with the digit they show."""

DECODED = ("bmp-16-bit-v5", "tiff-grey-2-4-bit", "tiff-tile-16", "mtime-after-2262")  # codespell:ignore grey
REFUSED = {
    "tiff-unknown-compression-blank/tif_jpeg2000.tif": (FailureCode.UNSUPPORTED, "JPEG2000"),
    "tiff-unknown-compression-blank/tif_jpegxl.tif": (FailureCode.UNSUPPORTED, "JPEGXL"),
    "tiff-unknown-compression-blank/tif_png.tif": (FailureCode.UNSUPPORTED, "PNG"),
    "tiff-damaged-strip/3-deflate-strip-of-noise-says-5.tif": (FailureCode.CORRUPT, ""),
    "tiff-damaged-strip/7-one-bit-flipped-says-2.tif": (FailureCode.CORRUPT, ""),
}


@pytest.fixture(scope="module")
def reported(shared_data: pathlib.Path) -> pathlib.Path:
    return shared_data / "repro"


@pytest.mark.parametrize("folder", BY_NAME)
def test_the_digit_is_that_of_the_name(
    reported: pathlib.Path, folder: str, classify: Callable[[np.ndarray], np.ndarray]
) -> None:
    files = sorted((reported / folder).iterdir())
    runs = [decode_batch([file.read_bytes() for file in files], len(files)) for _ in range(2)]
    assert not any(runs[0].errors)
    np.testing.assert_array_equal(runs[0].digits, runs[1].digits)
    right = classify(runs[0].digits) == [int(file.name[0]) for file in files]
    assert right.mean() > 0.8  # by a net that has seen nothing but MNIST


@pytest.mark.parametrize("folder", DECODED)
def test_files_that_were_refused_are_decoded(reported: pathlib.Path, folder: str) -> None:
    files = sorted((reported / folder).iterdir())
    assert files
    assert not any(decode_batch([file.read_bytes() for file in files], len(files)).errors)


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_were_predicted_are_refused(reported: pathlib.Path, name: str) -> None:
    code, word = REFUSED[name]
    data = (reported / name).read_bytes()
    with pytest.raises(ImageError) as caught:
        open_pages(data, read_header(data)).pixels(0)
    assert caught.value.code is code
    assert word in caught.value.detail


def test_every_page_is_there(reported: pathlib.Path) -> None:
    data = (reported / "tiff-multipage" / "4-pages-1-row.tif").read_bytes()
    pages = open_pages(data, read_header(data))
    assert pages.count == 4
    assert all(pages.pixels(number).shape == (128, 128) for number in range(4))
