"""Pages of a TIFF, decoded by tifffile and imagecodecs; fax, old-style JPEG and YCbCr by Pillow.

tifffile fills missing parts of a file with zeros and reads past short strips if it can. So that no pixels are
made up, every strip and tile is first checked to be complete. The codecs report damage, except for fax: after
a line that they cannot read, imagecodecs returns white paper, and libtiff zeros or old memory content. So
both decode fax, and a page is damaged if they disagree.
"""

import io
import logging
import struct
from typing import Final

import numpy as np
import tifffile

from digitmill.imaging.decode import upright
from digitmill.imaging.decoders import tiff_layout
from digitmill.imaging.decoders.pages import check_size, reported
from digitmill.imaging.decoders.stale_memory import decoded_whole
from digitmill.imaging.decoders.tiff_directories import Directory, directories, is_raw_photo, starting_at
from digitmill.imaging.decoders.tiff_samples import to_pixels
from digitmill.imaging.headers.image_kinds import UPRIGHT, Kind, corrupt
from schemas.failure import FailureCode, ImageError

# It logs what it works around; each of these is checked here.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

_ORIENTATION: Final = 274
_LETTERS: Final = {3: "H", 4: "I", 16: "Q"}
"""How `struct` writes a tag's type."""


class TiffPages:
    """The pages of a TIFF, without thumbnails and masks of other pages."""

    def __init__(self, data: bytes) -> None:
        """Find the pages.

        Raises:
            ImageError: UNSUPPORTED, TOO_LARGE or CORRUPT.
        """
        self._data = data
        self._pages = directories(data)
        if is_raw_photo(data, self._pages):
            raise ImageError(FailureCode.UNSUPPORTED, tiff_layout.RAW_PHOTO)
        self.count = len(self._pages)
        self._file: tifffile.TiffFile | None = None

    def pixels(self, number: int) -> np.ndarray:
        """Return a page; see `Pages`."""
        directory = self._pages[number]
        if directory.offset < 0:
            raise corrupt(f"a TIFF whose pages from number {number + 1} on are missing or damaged")
        with reported(Kind.TIFF):
            page = self._page(directory)
            tiff_layout.check_layout(page, directory)
            if page.compression != tiff_layout.OLD_JPEG:
                tiff_layout.check_segments(page, self._data)
            if _needs_libtiff(page):
                return self._by_pillow(directory)
            pixels = upright(to_pixels(self._samples(page, directory), page), _orientation(page))
            fax = page.compression in tiff_layout.FAX
            if fax and not np.array_equal(pixels, self._by_pillow(directory)):
                raise corrupt("a fax TIFF with lines that two decoders read differently")
            return pixels

    def _page(self, directory: Directory) -> tifffile.TiffPage:
        if self._file is None:
            self._file = tifffile.TiffFile(io.BytesIO(self._data))
        return _read_directory(self._file, directory)

    def _samples(self, page: tifffile.TiffPage, directory: Directory) -> np.ndarray:
        try:
            return page.asarray(maxworkers=1)
        except RuntimeError:  # a codec's
            rows = tiff_layout.rows_of_full_strips(page)
            if rows == page.imagelength:
                raise
        # Some writers fill the last strip with rows beyond the page, for which tifffile gives codecs no room:
        # they are read as rows of a longer page, and left out.
        longer, tag = bytearray(self._data), page.tags[tiff_layout.ROWS]
        struct.pack_into(page.parent.byteorder + _LETTERS[tag.dtype], longer, tag.valueoffset, rows)
        full = _read_directory(tifffile.TiffFile(io.BytesIO(longer)), directory)
        return full.asarray(maxworkers=1).take(range(page.imagelength), full.axes.index("Y"))

    def _by_pillow(self, directory: Directory) -> np.ndarray:
        """Return a page as libtiff decodes it: old-style JPEG, YCbCr and fax."""
        from PIL.TiffImagePlugin import TiffImageFile

        from digitmill.imaging.decoders import pillow_pages

        # Pillow would walk the chain from its start for each page: 10,000 pages would take hours.
        data = starting_at(self._data, directory.offset)

        def decode() -> np.ndarray:
            image = TiffImageFile(io.BytesIO(data))
            check_size(Kind.TIFF, *image.size)
            image.load()  # turns it upright, too
            return pillow_pages.to_pixels(image)

        return decoded_whole(decode)


def _read_directory(file: tifffile.TiffFile, directory: Directory) -> tifffile.TiffPage:
    file.filehandle.seek(directory.offset)
    return tifffile.TiffPage(file, index=directory.number)


def _needs_libtiff(page: tifffile.TiffPage) -> bool:
    return page.compression == tiff_layout.OLD_JPEG or (
        page.photometric == tiff_layout.YCBCR and page.compression != tiff_layout.JPEG
    )


def _orientation(page: tifffile.TiffPage) -> int:
    value = page.tags.valueof(_ORIENTATION, UPRIGHT)
    return value if value in range(1, 9) else UPRIGHT
