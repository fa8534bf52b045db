"""Checks a TIFF page before decoding: tags are consistent, and no strip or tile is missing or too short."""

from typing import TYPE_CHECKING, Final

import numpy as np

from digitmill.imaging.decoders.pages import MAX_PAGE_BYTES, check_size
from digitmill.imaging.decoders.tiff_directories import Directory
from digitmill.imaging.headers import jpeg
from digitmill.imaging.headers.image_kinds import Kind, corrupt
from schemas.failure import FailureCode, ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import tifffile

_NONE, _CCITT_RLE, _CCITT_3, _CCITT_4, _LZW, OLD_JPEG, JPEG, _DEFLATE = range(1, 9)
ROWS: Final = 257
"""Tag of a page's height."""

FAX: Final = (_CCITT_RLE, _CCITT_3, _CCITT_4)

_DECODED: Final = frozenset({*range(_NONE, _DEFLATE + 1), 32773, 32946, 50000})
"""Compressions that libtiff has too, so that two decoders could be compared: beside those numbered from 1 to
8, PackBits, Deflate's old number and Zstandard. LZMA is not: its codec does not report all damage."""

_LAYOUT: Final = frozenset(
    {*range(254, 260), 262, 266, *range(273, 280), 284, 292, 293, 317, *range(320, 326), 332, 338, 339, 347}
)
"""Tags that say how pixels are laid out; one that cannot be read may not be left out."""

YCBCR: Final = 6
_SINGLE: Final = frozenset({256, 257, 259, 262, 266, 274, 277, 278, 284, 317, 322, 323})
"""Tags that have one value."""

_JPEG_TABLES: Final = 347
_INTEGERS: Final = (3, 4, 16)
"""Types SHORT, LONG and, of BigTIFF, LONG8."""

_PHOTOMETRICS: Final = (0, 1, 2, 3, 5, YCBCR)
"""Gray from white or from black, RGB, palette, CMYK, YCbCr."""

_RAW_PHOTOMETRICS: Final = (32803, 34892)
RAW_PHOTO: Final = "raw photo (DNG, CR2 or NEF), not supported: develop it to PNG or JPEG"


def check_layout(page: "tifffile.TiffPage", directory: Directory) -> None:
    """Raise an ImageError for an unsupported page, or one with a damaged directory."""
    _check_tags(page, directory)
    if page.photometric in _RAW_PHOTOMETRICS:
        raise ImageError(FailureCode.UNSUPPORTED, RAW_PHOTO)
    if page.compression not in _DECODED:
        raise _unsupported(f"compressed by {_named(page.compression)}")
    if page.photometric not in (None, *_PHOTOMETRICS):
        raise _unsupported(f"with colors of the kind {_named(page.photometric)}")
    check_size(Kind.TIFF, page.imagewidth, page.imagelength)
    _check_samples(page)


def _check_tags(page: "tifffile.TiffPage", directory: Directory) -> None:
    """Raise the error for tags that are missing, unreadable, there twice, or not of the type of numbers.

    One flipped bit can break a tag, and tifffile then assumes a default for it.
    """
    types = directory.types
    needed = {256, 257}
    if page.compression != OLD_JPEG:
        needed |= {262} | ({322, 323, 324, 325} if types.keys() & {322, 323, 324, 325} else {273})
        needed |= {258} if page.samplesperpixel != 1 else set()
    wrong = {tag for tag in types.keys() & _LAYOUT if tag not in page.tags}
    wrong |= {tag for tag in types.keys() & _LAYOUT - {_JPEG_TABLES} if types[tag] not in _INTEGERS}
    wrong |= {tag for tag in types.keys() & _SINGLE - wrong if page.tags[tag].count != 1}
    damaged = sorted((needed - types.keys()) | wrong | (directory.repeated & _LAYOUT))
    if damaged:
        raise corrupt(f"a TIFF with a missing or damaged tag {damaged[0]}")
    if page.compression != OLD_JPEG:
        _check_samples_a_pixel(page)


def _check_samples_a_pixel(page: "tifffile.TiffPage") -> None:
    """Raise the error for tags about samples that contradict each other."""
    colors = {2: 3, 5: 4, YCBCR: 3}.get(page.photometric, 1)
    extra = page.extrasamples
    # Some writers forget to say that a fourth sample of RGB is opacity.
    fits = len(extra) == page.samplesperpixel - colors or (page.photometric == 2 and not extra)
    if page.photometric in _PHOTOMETRICS and not (fits and set(extra) <= {0, 1, 2}):
        raise corrupt(f"a TIFF of {page.samplesperpixel} samples a pixel and {len(extra)} beside colors")
    if page.fillorder not in (1, 2):
        raise corrupt(f"a TIFF with bits in the order {page.fillorder}")
    if page.planarconfig not in (1, 2) or (page.compression == JPEG and page.bitspersample not in (8, 12)):
        raise corrupt(f"a TIFF of {page.bitspersample} bits in the planar configuration {page.planarconfig}")


def _check_samples(page: "tifffile.TiffPage") -> None:
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


def check_segments(page: "tifffile.TiffPage", data: bytes) -> None:
    """Raise an ImageError for a page with a strip or tile that is missing, cut off or too short."""
    needed = int(np.prod(page.chunked))
    offsets: Sequence[int] = page.dataoffsets
    sizes: Sequence[int] = page.databytecounts
    stated = {page.tags[tag].count for tag in (273, 279, 324, 325) if tag in page.tags}
    if stated != {needed} or len(offsets) != needed or len(sizes) != needed:
        raise corrupt(f"a TIFF page with {max(stated)} strips or tiles instead of {needed}")
    for number, (offset, size) in enumerate(zip(offsets[:needed], sizes[:needed], strict=True)):
        least = _uncompressed_bytes(page, number) if page.compression == _NONE else 1
        if offset < 1 or size < least or offset + size > len(data):
            raise corrupt(f"a TIFF page whose strip or tile {number + 1} of {needed} is missing or cut off")
        if page.compression == JPEG:
            # libjpeg fills what is cut off with gray.
            header = jpeg.header(data[offset : offset + size])
            check_size(Kind.TIFF, header.width, header.height)


def rows_of_full_strips(page: "tifffile.TiffPage") -> int:
    """Return how many rows a page's strips have room for; its height for tiles or oversized strips."""
    rows = page.imagelength
    if not page.is_tiled and 0 < page.rowsperstrip <= rows:
        rows = -(-rows // page.rowsperstrip) * page.rowsperstrip
    return rows


def _uncompressed_bytes(page: "tifffile.TiffPage", number: int) -> int:
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    if page.is_tiled:
        width, rows = page.tilewidth, page.tilelength
    else:
        width, strips = page.imagewidth, -(-page.imagelength // page.rowsperstrip)
        rows = min(page.rowsperstrip, page.imagelength - number % strips * page.rowsperstrip)
    return rows * -(-width * samples * page.bitspersample // 8)


def _named(value: int) -> str:
    """Return a number of the TIFF standard with its name, where tifffile knows it."""
    return f"{getattr(value, 'name', 'method')} ({int(value)})"


def _unsupported(what: str) -> ImageError:
    return ImageError(
        FailureCode.UNSUPPORTED, f"TIFF {what}, not supported: save it uncompressed, gray or RGB"
    )
