"""Archives of every kind, honest and forged, for the tests of their readers."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence

import numpy as np

from digitmill.records import encode_records
from pipelines.archives import ArchiveKind
from schemas import packed

Files = Sequence[tuple[bytes, bytes]]


class RawName(zipfile.ZipInfo):
    """A zip entry whose name is bytes of no known encoding."""

    __slots__ = ("raw",)

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802
        return self.raw, 0


def tar_of(files: Files, tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    data = io.BytesIO()
    with tarfile.open(
        fileobj=data, mode="w", format=tar_format, encoding="utf-8", errors="surrogateescape"
    ) as archive:
        for name, content in files:
            member = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return data.getvalue()


def zip_of(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for number, (name, content) in enumerate(files):
            entry = RawName(str(number))
            entry.raw = name
            entry.compress_type = method
            archive.writestr(entry, content)
    return data.getvalue()


def tfrecord_of(files: Files, labels: Sequence[int] | None = None) -> bytes:
    columns = {
        packed.ENCODED: [content for _, content in files],
        packed.NAME: [name.decode() for name, _ in files],
        packed.LABEL: np.array([-1] * len(files) if labels is None else labels, np.int64),
        packed.GENERATION: np.arange(len(files)),
    }
    return encode_records(packed.COLUMNS, columns)


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=1, mtime=0)


WRITERS: dict[ArchiveKind, Callable[[Files], bytes]] = {
    ArchiveKind.TAR: tar_of,
    ArchiveKind.TAR_GZ: lambda files: gzipped(tar_of(files)),
    ArchiveKind.ZIP: zip_of,
    ArchiveKind.TFRECORD: tfrecord_of,
    ArchiveKind.TFRECORD_GZ: lambda files: gzipped(tfrecord_of(files)),
}


def forged_zip(entries: Sequence[dict]) -> bytes:
    """A zip whose headers say what they are told to.

    Args:
        entries: `name` and `content`; where they differ from the truth `size`, `packed`, `crc`,
            `flags`, `method`, `mode`, `at` (position in the archive) and `local` (False: none written).
    """
    body, directory = bytearray(), bytearray()
    for entry in entries:
        name, content = entry["name"], entry["content"]
        deflater = zlib.compressobj(1, zlib.DEFLATED, -15)
        data = deflater.compress(content) + deflater.flush()
        numbers = (
            entry.get("crc", zlib.crc32(content)),
            entry.get("packed", len(data)),
            entry.get("size", len(content)),
        )
        flags, method = entry.get("flags", 0), entry.get("method", 8)
        at = entry.get("at", len(body))
        if entry.get("local", True):
            body += struct.pack("<4s5H3L2H", b"PK\3\4", 20, flags, method, 0, 33, *numbers, len(name), 0)
            body += name + data
        directory += struct.pack(
            "<4s6H3L5H2L",
            b"PK\1\2",
            3 << 8,
            20,
            flags,
            method,
            0,
            33,
            *numbers,
            len(name),
            0,
            0,
            0,
            0,
            entry.get("mode", 0) << 16,
            at,
        )
        directory += name
    count = len(entries)
    end = struct.pack(
        "<4s4H2LH", b"PK\5\6", 0, 0, count & 0xFFFF, count & 0xFFFF, len(directory), len(body), 0
    )
    return bytes(body + directory + end)


def tar_header(name: bytes, size: int | bytes, kind: bytes = b"0") -> bytes:
    """One tar header with a right checksum."""
    field = size if isinstance(size, bytes) else b"%011o\0" % size
    block = name.ljust(100, b"\0") + b"0000644\0" * 3 + field + b"0" * 11 + b"\0" + b" " * 8 + kind
    block = block.ljust(257, b"\0") + b"ustar\x0000"
    block = block.ljust(512, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]
