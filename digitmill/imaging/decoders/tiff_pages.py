"""Pages of a TIFF, decoded by tifffile and imagecodecs; fax, old-style JPEG and YCbCr by Pillow.

tifffile fills what a file lacks with zeros and reads past short strips where it can. So that no pixel is made
up, every strip and tile is checked first to be all there. What the codecs find damaged they report, but for
fax: from a line that it cannot read on, imagecodecs returns white paper.
"""

import io
import logging
from typing import TYPE_CHECKING, Final

import numpy as np
import tifffile

from digitmill.imaging.decode import upright
from digitmill.imaging.decoders.pages import MAX_PAGE_BYTES, check_size, reported
from digitmill.imaging.decoders.tiff_directories import Directory, directories, is_raw_photo
from digitmill.imaging.decoders.tiff_samples import to_pixels
from digitmill.imaging.headers import jpeg
from digitmill.imaging.headers.image_kinds import UPRIGHT, Kind, corrupt
from schemas.failure import FailureCode, ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence

# It logs what it works around; each of these is checked here.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

_NONE, _CCITT_RLE, _CCITT_3, _CCITT_4, _LZW, _OLD_JPEG, _JPEG, _DEFLATE = range(1, 9)
_FAX: Final = (_CCITT_RLE, _CCITT_3, _CCITT_4)

_DECODED: Final = frozenset({*range(_NONE, _DEFLATE + 1), 32773, 32946, 34925, 50000})
"""Compressions that libtiff has too, so that two decoders could be compared: beside those numbered from 1 to
8, PackBits, Deflate's old number, LZMA and Zstandard."""

_LAYOUT: Final = frozenset(
    {*range(254, 260), 262, 266, *range(273, 280), 284, 292, 293, 317, *range(320, 326), 332, 338, 339, 347}
)
"""Tags that say how pixels are laid out; one that cannot be read may not be left out."""

_YCBCR: Final = 6
_ORIENTATION: Final = 274
_PHOTOMETRICS: Final = (0, 1, 2, 3, 5, _YCBCR)
"""Grey from white or from black, RGB, palette, CMYK, YCbCr."""

_RAW_PHOTOMETRICS: Final = (32803, 34892)
_RAW_PHOTO: Final = "a raw photo: develop it to PNG or JPEG"


class TiffPages:
    """The pages of a TIFF; thumbnails and masks of other pages are none."""

    def __init__(self, data: bytes) -> None:
        """Finds the pages.

        Raises:
            ImageError: UNSUPPORTED, TOO_LARGE or CORRUPT.
        """
        self._data = data
        self._pages = directories(data)
        if is_raw_photo(data, self._pages):
            raise ImageError(FailureCode.UNSUPPORTED, _RAW_PHOTO)
        self.count = len(self._pages)
        self._file: tifffile.TiffFile | None = None

    def pixels(self, number: int) -> np.ndarray:
        """Returns a page; see `Pages`."""
        directory = self._pages[number]
        if directory.offset < 0:
            raise corrupt(f"a TIFF whose pages from number {number + 1} on are missing or damaged")
        with reported(Kind.TIFF):
            page = self._page(directory)
            _check_layout(page, directory)
            if page.compression != _OLD_JPEG:
                _check_segments(page, self._data)
            if _needs_libtiff(page):
                return self._by_pillow(directory)
            pixels = to_pixels(page.asarray(maxworkers=1), page)
            return upright(pixels, _orientation(page))

    def _page(self, directory: Directory) -> tifffile.TiffPage:
        if self._file is None:
            self._file = tifffile.TiffFile(io.BytesIO(self._data))
        self._file.filehandle.seek(directory.offset)
        return tifffile.TiffPage(self._file, index=directory.number)

    def _by_pillow(self, directory: Directory) -> np.ndarray:
        """Returns a page that libtiff decodes better than tifffile."""
        from PIL.TiffImagePlugin import TiffImageFile

        from digitmill.imaging.decoders import pillow_pages

        image = TiffImageFile(io.BytesIO(self._data))
        image.seek(directory.number)
        check_size(Kind.TIFF, *image.size)
        image.load()  # turns it upright, too
        return pillow_pages.to_pixels(image)


def _needs_libtiff(page: tifffile.TiffPage) -> bool:
    return page.compression in (*_FAX, _OLD_JPEG) or (
        page.photometric == _YCBCR and page.compression != _JPEG
    )


def _orientation(page: tifffile.TiffPage) -> int:
    value = page.tags.valueof(_ORIENTATION, UPRIGHT)
    return value if value in range(1, 9) else UPRIGHT


def _check_layout(page: tifffile.TiffPage, directory: Directory) -> None:
    """Raises the error for a page that is not decoded, or whose directory is damaged."""
    unread = sorted(tag for tag in directory.tags & _LAYOUT if tag not in page.tags)
    if unread:
        raise corrupt(f"a TIFF with a damaged tag {unread[0]}")
    if page.photometric in _RAW_PHOTOMETRICS:
        raise ImageError(FailureCode.UNSUPPORTED, _RAW_PHOTO)
    if page.compression not in _DECODED:
        raise _unsupported(f"compressed by {_named(page.compression)}")
    if page.photometric not in (None, *_PHOTOMETRICS):
        raise _unsupported(f"with colours of the kind {_named(page.photometric)}")
    check_size(Kind.TIFF, page.imagewidth, page.imagelength)
    _check_samples(page)


def _check_samples(page: tifffile.TiffPage) -> None:
    if page.imagedepth != 1:
        raise _unsupported(f"of {page.imagedepth} slices")
    if page.dtype is None or not isinstance(page.bitspersample, int):
        raise _unsupported(f"with samples of {page.bitspersample} bits and format {page.sampleformat}")
    tile = page.tilewidth * page.tilelength * page.samplesperpixel if page.is_tiled else 0
    for samples in (page.size, tile):
        if samples * page.dtype.itemsize > MAX_PAGE_BYTES:
            raise ImageError(
                FailureCode.TOO_LARGE, f"a TIFF page of more than {MAX_PAGE_BYTES:,} bytes of samples"
            )


def _check_segments(page: tifffile.TiffPage, data: bytes) -> None:
    """Raises the error for a page of which a strip or tile is missing, cut off or too short."""
    needed = int(np.prod(page.chunked))
    offsets: Sequence[int] = page.dataoffsets
    sizes: Sequence[int] = page.databytecounts
    if len(offsets) < needed or len(sizes) < needed:
        raise corrupt(f"a TIFF page with {len(offsets)} of {needed} strips or tiles")
    for number, (offset, size) in enumerate(zip(offsets[:needed], sizes[:needed], strict=True)):
        least = _uncompressed_bytes(page, number) if page.compression == _NONE else 1
        if offset < 1 or size < least or offset + size > len(data):
            raise corrupt(f"a TIFF page whose strip or tile {number + 1} of {needed} is missing or cut off")
        if page.compression == _JPEG:
            # libjpeg fills what is cut off with grey.
            header = jpeg.header(data[offset : offset + size])
            check_size(Kind.TIFF, header.width, header.height)


def _uncompressed_bytes(page: tifffile.TiffPage, number: int) -> int:
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    if page.is_tiled:
        width, rows = page.tilewidth, page.tilelength
    else:
        width, strips = page.imagewidth, -(-page.imagelength // page.rowsperstrip)
        rows = min(page.rowsperstrip, page.imagelength - number % strips * page.rowsperstrip)
    return rows * -(-width * samples * page.bitspersample // 8)


def _named(value: int) -> str:
    """Returns a number of the TIFF standard with its name, where tifffile knows it."""
    return f"{getattr(value, 'name', 'method')} ({int(value)})"


def _unsupported(what: str) -> ImageError:
    return ImageError(FailureCode.UNSUPPORTED, f"a TIFF {what}: save it uncompressed, grey or RGB")
