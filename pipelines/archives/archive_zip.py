"""Reads zip archives, members stored or deflated.

Does not use `zipfile`, which reads nothing from an archive that is truncated, or whose directory has a single
damaged entry or invalid UTF-8 name, and which needs 540 bytes of memory per member before it reads the first.
The tests compare the two.

Source: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

import array
import contextlib
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

import numpy as np

from digitmill.records import Inflation
from pipelines.archives.member import RawMember, cut_short, too_large
from schemas.failure import MAX_BYTES, FailureCode, ImageError

_MEMBER = b"PK\x03\x04"
_DIRECTORY_END = b"PK\x05\x06"
_DESCRIPTOR = b"PK\x07\x08"

MAGIC: Final = (_MEMBER, _DIRECTORY_END, _DESCRIPTOR)
"""First bytes of an archive: with members, without any, and in several files."""

MAX_ENTRIES: Final = 1_000_000
"""Members that are read; each takes 16 bytes of memory until the last is read."""

STORED: Final = 0
DEFLATED: Final = 8

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_DESCRIPTORS: Final = ("<3L", "<L2Q")
_DESCRIPTOR_SIZE: Final = 24
_ENCRYPTED: Final = 0x0001 | 0x0040 | 0x2000
_SIZES_FOLLOW: Final = 0x0008
_UNIX: Final = 3
# Deflate adds five bytes to each 65,535 that it cannot compress; some writers make smaller blocks.
_MOST_PACKED: Final = MAX_BYTES + MAX_BYTES // 8
_LONG: Final = 0xFFFFFFFF
_CHUNK = 2**16


class _Entry(NamedTuple):
    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    mode: int
    start: int


class _Directory(NamedTuple):
    start: int
    end: int
    entries: int
    shift: int


def read_zip(file: BinaryIO) -> Iterator[RawMember]:
    """Yield the members in the order of the archive's directory, without folders.

    If the directory is missing, as in a truncated archive, members are read one by one from the front.
    Overlapping members, as in zip bombs, are not read.

    Raises:
        ImageError: CORRUPT, UNSUPPORTED (in several files) or TOO_LARGE.
    """
    directory = _directory(file)
    if directory is None:
        yield from _from_the_front(file)
        return
    overlapping = _overlaps(file, directory)
    inflation = Inflation()
    count = 0
    for count, entry in enumerate(_entries(file, directory), start=1):
        if _is_folder(entry):
            continue
        error = _refusal(entry) or _misplacement(entry, directory, overlaps=bool(overlapping[count - 1]))
        yield RawMember(entry.name, error or _content(file, entry, inflation=inflation))
    # The count of writers that know no 64-bit numbers overflows.
    if count & 0xFFFF != directory.entries & 0xFFFF:
        raise ImageError(
            FailureCode.CORRUPT, f"the directory states {directory.entries:,} members but has {count:,}"
        )


def _directory(file: BinaryIO) -> _Directory | None:
    length = file.seek(0, os.SEEK_END)
    tail_start = max(0, length - _END.size - 0xFFFF)
    file.seek(tail_start)
    tail = file.read()
    at = tail.rfind(_DIRECTORY_END)
    if at < 0 or len(tail) - at < _END.size:
        return None
    _, disk, first_disk, _, entries, size, offset, _ = _END.unpack_from(tail, at)
    end = tail_start + at
    wide = _wide_directory(file, end)
    if wide is not None:
        entries, size, offset, end = wide
    elif disk or first_disk:
        raise ImageError(FailureCode.UNSUPPORTED, "a zip in several files, not supported: join them first")
    start = end - size
    file.seek(0)
    # A program may precede the archive; positions then count from the archive's own start. If a member does,
    # the directory is damaged, or belongs to an archive within one that is cut short.
    if start < offset or (start > offset and file.read(len(_MEMBER)) == _MEMBER):
        return None
    return _Directory(start, end, entries, shift=start - offset)


def _wide_directory(file: BinaryIO, end: int) -> tuple[int, int, int, int] | None:
    start = end - _LOCATOR64.size - _END64.size
    if start < 0:
        return None
    file.seek(start)
    record = _END64.unpack(file.read(_END64.size))
    locator = _LOCATOR64.unpack(file.read(_LOCATOR64.size))
    if locator[0] != b"PK\x06\x07" or record[0] != b"PK\x06\x06":
        return None
    entries, size, offset = record[7:]
    return entries, size, offset, start


def _entries(file: BinaryIO, directory: _Directory) -> Iterator[_Entry]:
    """Yield the directory's entries one at a time; the file may be read elsewhere in between."""
    at = directory.start
    for _ in range(MAX_ENTRIES):
        if at == directory.end:
            return
        file.seek(at)
        fixed = file.read(_ENTRY.size)
        if len(fixed) < _ENTRY.size or not fixed.startswith(b"PK\x01\x02"):
            raise ImageError(FailureCode.CORRUPT, "the archive's directory is damaged")
        fields = _ENTRY.unpack(fixed)
        lengths = fields[10:13]
        variable = file.read(sum(lengths))
        at += _ENTRY.size + sum(lengths)
        if at > directory.end:
            raise ImageError(FailureCode.CORRUPT, "the archive's directory is damaged")
        yield _entry(fields, variable, shift=directory.shift)
    raise ImageError(FailureCode.TOO_LARGE, f"more than {MAX_ENTRIES:,} members")


def _entry(fields: tuple, variable: bytes, *, shift: int) -> _Entry:
    _, made_by, _, flags, method, _, _, crc, packed, size, name_length, extra_length = fields[:12]
    attributes, offset = fields[15], fields[16]
    extra = variable[name_length : name_length + extra_length]
    size, packed, offset = _widened(extra, [size, packed, offset])
    mode = attributes >> 16 if made_by >> 8 == _UNIX else 0
    return _Entry(variable[:name_length], flags, method, crc, packed, size, mode, offset + shift)


def _widened(extra: bytes, numbers: list[int]) -> list[int]:
    """Return size, packed size and offset; those that do not fit in 32 bits come from the 64-bit field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{min(length, len(extra) - at - 4) // 8}Q", extra, at + 4))
            return [next(wide, number) if number == _LONG else number for number in numbers]
        at += 4 + length
    return numbers


def _overlaps(file: BinaryIO, directory: _Directory) -> np.ndarray:
    """Return for each entry whether it shares bytes with another."""
    starts, ends = array.array("q"), array.array("q")
    # Reading the members will fail at the same damage.
    with contextlib.suppress(ImageError):
        for entry in _entries(file, directory):
            inside = _least_end(entry) <= directory.start
            # An entry that reaches outside fails by itself and must not fail the others.
            starts.append(entry.start if inside else directory.start)
            ends.append(_least_end(entry) if inside else directory.start)
    order = np.argsort(np.array(starts), kind="stable")
    start, end = np.array(starts)[order], np.array(ends)[order]
    overlapping = np.zeros(len(order), bool)
    overlapping[order[1:]] |= start[1:] < np.maximum.accumulate(end)[:-1]
    overlapping[order[:-1]] |= end[:-1] > start[1:]
    return overlapping


def _is_folder(entry: _Entry) -> bool:
    return entry.name.endswith(b"/") and entry.size == 0


def _refusal(entry: _Entry) -> ImageError | None:
    """Return why a member is not read, judged by its entry alone."""
    if entry.flags & _ENCRYPTED:
        return ImageError(FailureCode.UNSUPPORTED, "encrypted: pack it again without a password")
    if entry.method not in (STORED, DEFLATED):
        return ImageError(
            FailureCode.UNSUPPORTED,
            f"compressed by method {entry.method}, not supported: pack it again with Deflate",
        )
    if entry.mode and stat.S_IFMT(entry.mode) not in (0, stat.S_IFREG):
        return ImageError(FailureCode.UNSUPPORTED, "a link or a device, not a file: leave it out")
    if entry.size > MAX_BYTES:
        return too_large(entry.size)
    if entry.packed > _MOST_PACKED:
        return ImageError(FailureCode.CORRUPT, f"{entry.packed:,} bytes packed, {entry.size:,} unpacked")
    return None


def _misplacement(entry: _Entry, directory: _Directory, *, overlaps: bool) -> ImageError | None:
    if _least_end(entry) > directory.start:
        return ImageError(FailureCode.CORRUPT, "reaches beyond the archive's members")
    return ImageError(FailureCode.CORRUPT, "its bytes overlap those of another member") if overlaps else None


def _least_end(entry: _Entry) -> int:
    """Return the earliest place where a member can end: the directory omits part of its header."""
    return entry.start + _LOCAL.size + len(entry.name) + entry.packed


def _content(file: BinaryIO, entry: _Entry, *, inflation: Inflation) -> bytes | ImageError:
    file.seek(entry.start)
    fixed = file.read(_LOCAL.size)
    if not fixed.startswith(_MEMBER) or len(fixed) < _LOCAL.size:
        return ImageError(FailureCode.CORRUPT, "no member where the directory says")
    name_length, extra_length = _LOCAL.unpack(fixed)[9:]
    if file.read(name_length) != entry.name:
        return ImageError(FailureCode.CORRUPT, "another member where the directory says")
    file.seek(extra_length, os.SEEK_CUR)
    return _unpacked(file.read(entry.packed), entry, inflation=inflation)


def _unpacked(data: bytes, entry: _Entry, *, inflation: Inflation) -> bytes | ImageError:
    packed = len(data)
    if entry.method == DEFLATED:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            # One byte above the limit reveals a member that is larger than it says.
            data = inflater.decompress(data, MAX_BYTES + 1)
        except zlib.error as error:
            return ImageError(FailureCode.CORRUPT, f"damaged: {error}")
        inflation.add(len(data), packed=packed)
        if len(data) > MAX_BYTES:
            return too_large(len(data))
        if not inflater.eof:
            return ImageError(FailureCode.CORRUPT, "the member is cut short")
    return _checked(data, size=entry.size, crc=entry.crc)


def _checked(data: bytes, *, size: int, crc: int) -> bytes | ImageError:
    if len(data) != size:
        return ImageError(FailureCode.CORRUPT, f"{len(data):,} bytes, but its header says {size:,}")
    if zlib.crc32(data) != crc:
        return ImageError(FailureCode.CORRUPT, "it does not match its checksum")
    return data


def _from_the_front(file: BinaryIO) -> Iterator[RawMember]:
    """Yield the members of an archive without a usable directory, up to where it is cut."""
    inflation = Inflation()
    at = 0
    while True:
        file.seek(at)
        fixed = file.read(_LOCAL.size)
        if not fixed.startswith(_MEMBER) or len(fixed) < _LOCAL.size:
            raise cut_short()
        entry = _local_entry(file, fixed)
        content, at = _next_content(file, entry, inflation=inflation)
        if not _is_folder(entry):
            yield RawMember(entry.name, content)


def _local_entry(file: BinaryIO, fixed: bytes) -> _Entry:
    """Return a member by its own header."""
    _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(fixed)
    variable = file.read(name_length + extra_length)
    if len(variable) < name_length + extra_length:
        raise cut_short()
    size, packed, _ = _widened(variable[name_length:], [size, packed, 0])
    return _Entry(variable[:name_length], flags, method, crc, packed, size, mode=0, start=file.tell())


def _next_content(file: BinaryIO, entry: _Entry, *, inflation: Inflation) -> tuple[bytes | ImageError, int]:
    """Return the content at `entry.start`, and where the next member begins."""
    if entry.flags & _SIZES_FOLLOW and entry.packed == 0:
        if entry.method != DEFLATED or entry.flags & _ENCRYPTED:
            # Only deflated data marks its own end.
            raise cut_short()
        return _streamed_content(file, entry, inflation=inflation)
    end = entry.start + entry.packed
    if end > file.seek(0, os.SEEK_END):
        raise cut_short()
    error = _refusal(entry)
    if error is not None:
        return error, end
    file.seek(entry.start)
    return _unpacked(file.read(entry.packed), entry, inflation=inflation), end


def _streamed_content(
    file: BinaryIO, entry: _Entry, *, inflation: Inflation
) -> tuple[bytes | ImageError, int]:
    """Read a member whose size follows it, and return also where the next one begins."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    kept: list[bytes] = []
    size, crc = 0, 0
    while not inflater.eof:
        rest = inflater.unconsumed_tail
        packed = rest or file.read(_CHUNK)
        if not packed:
            raise cut_short()
        try:
            data = inflater.decompress(packed, _CHUNK)
        except zlib.error as error:
            raise ImageError(FailureCode.CORRUPT, f"damaged: {error}") from error
        inflation.add(len(data), packed=0 if rest else len(packed))
        size += len(data)
        crc = zlib.crc32(data, crc)
        kept.append(data)
        if size > MAX_BYTES:
            kept.clear()
    end = file.tell() - len(inflater.unused_data)
    file.seek(end)
    follows = file.read(_DESCRIPTOR_SIZE)
    for layout in _DESCRIPTORS:
        numbers = struct.pack(layout, crc, end - entry.start, size)
        for descriptor in (_DESCRIPTOR + numbers, numbers):
            if follows.startswith(descriptor):
                return b"".join(kept) if size <= MAX_BYTES else too_large(size), end + len(descriptor)
    raise cut_short()
