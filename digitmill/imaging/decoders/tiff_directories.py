"""Walks the chain of a TIFF's directories, one of which describes each page."""

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

from digitmill.imaging.decoders.pages import check_count
from digitmill.imaging.headers.image_kinds import Kind, corrupt

_BIG: Final = 43

_MOST_TAGS: Final = 4096
"""tifffile rejects directories with more."""

_SUBFILE: Final = 254
_DNG_VERSION: Final = 50706
_LONG: Final = 4


class Directory(NamedTuple):
    """One directory: its location and its tags.

    Attributes:
        offset: offset of the directory; -1 for the rest of a chain that leads out of the file.
        number: position in the chain, counting directories that are not pages.
        types: type of each tag's values, by tag code.
        repeated: tags that occur twice.
        reduced: whether it describes a thumbnail or a mask of another page.
    """

    offset: int
    number: int
    types: Mapping[int, int] = {}
    repeated: frozenset[int] = frozenset()
    reduced: bool = False


def directories(data: bytes) -> list[Directory]:
    """Return the directories of a TIFF's pages, without thumbnails and masks of other pages.

    If all directories are marked as thumbnails or masks, all count as pages. A chain that leads out of the
    file or back into itself ends with a page at offset -1, because pages are missing.

    Raises:
        ImageError: CORRUPT without a first directory, TOO_LARGE with more pages than are decoded.
    """
    order = "<" if data[:2] == b"II" else ">"
    try:
        (version,) = struct.unpack_from(f"{order}H", data, 2)
        big = version == _BIG
        (offset,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)
    except struct.error as error:
        raise corrupt(f"a TIFF cut off after {len(data)} bytes") from error
    found: list[Directory] = []
    seen: set[int] = set()
    while offset:
        try:
            if offset in seen or offset >= len(data):
                raise struct.error("a circle, or out of the file")
            directory, following = _directory(data, offset, len(found), order=order, big=big)
        except struct.error as error:
            if not found:
                raise corrupt(f"a TIFF cut off after {len(data):,} bytes, before its directory") from error
            found.append(Directory(-1, len(found)))
            break
        seen.add(offset)
        found.append(directory)
        offset = following
        check_count(Kind.TIFF, len(found))
    pages = [directory for directory in found if not directory.reduced]
    check_count(Kind.TIFF, len(found))
    return pages or found


def starting_at(data: bytes, offset: int) -> bytes:
    """Return a copy of a TIFF that starts with another directory."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", data, 2)[0] == _BIG
    place, form = (8, f"{order}Q") if big else (4, f"{order}I")
    return data[:place] + struct.pack(form, offset) + data[place + struct.calcsize(form) :]


def is_raw_photo(data: bytes, pages: list[Directory]) -> bool:
    """Tell whether a file is a camera's raw photo, which shares TIFF's container: DNG or Canon's CR2."""
    return data[8:10] == b"CR" or any(_DNG_VERSION in page.types for page in pages)


def _directory(data: bytes, offset: int, number: int, *, order: str, big: bool) -> tuple[Directory, int]:
    """Return a directory and the offset of the next; raise struct.error where the file ends before."""
    count_size, entry_size, value_size = (8, 20, 8) if big else (2, 12, 4)
    (count,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, offset)
    if count > _MOST_TAGS:
        raise struct.error("too many tags")
    end = offset + count_size + count * entry_size
    (following,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, end)
    types: dict[int, int] = {}
    repeated, reduced = set(), False
    for place in range(offset + count_size, end, entry_size):
        tag, form = struct.unpack_from(f"{order}HH", data, place)
        if tag in types:
            repeated.add(tag)
        types[tag] = form
        if tag == _SUBFILE and form == _LONG:
            # Bit 0: a smaller copy of another page; bit 2: a mask of one.
            (kind,) = struct.unpack_from(f"{order}I", data, place + entry_size - value_size)
            reduced = bool(kind & 0b101)
    return Directory(offset, number, types, frozenset(repeated), reduced), following
