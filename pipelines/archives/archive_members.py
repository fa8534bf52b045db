"""Determines the kind of an archive, and reads its members.

Nothing is ever written under a member's name, so `../../etc/passwd` is a name like any other. Memory stays
bounded whatever an archive holds: one member at a time, and at most `schemas.failure.MAX_BYTES` of it. Work
stays bounded by the archive's own size: see `digitmill.records.inflation`.
"""

import collections
import enum
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from digitmill.imaging.headers.header import read_header
from digitmill.records import InflatedStream, Stream, is_tfrecord, parse_packed_image, read_frames
from digitmill.records.inflation import GZIP_MAGIC
from digitmill.storage.junk import is_junk
from pipelines.archives.archive_tar import is_tar, read_tar
from pipelines.archives.archive_zip import MAGIC as ZIP_MAGIC
from pipelines.archives.archive_zip import read_zip
from pipelines.archives.member import MAX_NAME, Member, MemberNames, RawMember
from schemas.digit import NOT_A_DIGIT
from schemas.failure import FailureCode, ImageError
from schemas.prediction import NO_LABEL

HEAD_BYTES: Final = 4_096
"""First bytes of a file that tell whether it is an archive."""

MAX_MEMBERS: Final = 1_000_000
"""Members that are read of an archive; each takes 24 to 48 bytes of memory until the last is read."""

_TAR_MARK: Final = b"ustar"


class ArchiveKind(enum.StrEnum):
    """Kinds of files that hold images."""

    TAR = "tar"
    TAR_GZ = "tar.gz"
    ZIP = "zip"
    TFRECORD = "TFRecord"
    TFRECORD_GZ = "TFRecord.gz"


def archive_kind(name: str, head: bytes) -> ArchiveKind | None:
    """Return the kind of archive that a file is, from its name and first bytes; None for any other file.

    Content decides: magic bytes, or the checksum of a first header. The name counts only if the content does
    not begin like any known format, so that a damaged archive fails as an archive.
    """
    if head.startswith(ZIP_MAGIC):
        return ArchiveKind.ZIP
    if head.startswith(GZIP_MAGIC):
        return _GZIPPED.get(_plain_kind(_inflated(head)) or _kind_by_name(name))
    if kind := _plain_kind(head):
        return kind
    likely = ArchiveKind.TAR if head[257:262] == _TAR_MARK else _kind_by_name(name)
    # Last, because it is slow and rarely needed: is it an image?
    return None if likely is None or not head or _is_image(head) else likely


def read_members(
    file: BinaryIO, kind: ArchiveKind, *, name: str, ignored: collections.Counter[str] | None = None
) -> Iterator[Member]:
    """Yield every member of a seekable archive once, with its bytes or an error.

    Folders are skipped, and so is junk, which `ignored` counts under the archive's name. If the archive
    itself fails or is empty, the last member has the archive's URI and an error with the number of members
    before it.
    """
    names = MemberNames(name)
    try:
        for raw in _READERS[kind](file):
            if is_junk(raw.name):
                if ignored is not None:
                    ignored[name] += 1
                continue
            if names.given == MAX_MEMBERS:
                raise ImageError(FailureCode.TOO_LARGE, f"more than {MAX_MEMBERS:,} members")
            yield Member(names.next(raw.name), _image(raw), raw.label)
    except (ImageError, OSError) as error:
        code, detail = _reason(error)
        yield Member(name, ImageError(code, f"{detail}; {names.given:,} members were read before"))
        return
    if not names.given:
        yield Member(name, ImageError(FailureCode.EMPTY, f"a {kind} without members"))


def _image(raw: RawMember) -> bytes | ImageError:
    if len(raw.name) > MAX_NAME:
        return ImageError(
            FailureCode.UNSUPPORTED, f"a name of {len(raw.name):,} bytes; the limit is {MAX_NAME:,}"
        )
    if isinstance(raw.content, ImageError):
        return raw.content
    nested = archive_kind(raw.name.decode("latin-1"), raw.content[:HEAD_BYTES])
    if nested is not None:
        return ImageError(
            FailureCode.UNSUPPORTED, f"a {nested} within an archive, not supported: unpack it first"
        )
    return raw.content


def _reason(error: ImageError | OSError) -> tuple[FailureCode, str]:
    if isinstance(error, ImageError):
        return error.code, error.detail
    return FailureCode.UNREADABLE, error.strerror or type(error).__name__


def _plain_kind(head: bytes) -> ArchiveKind | None:
    if is_tar(head):
        return ArchiveKind.TAR
    return ArchiveKind.TFRECORD if is_tfrecord(head) else None


def _inflated(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, HEAD_BYTES)
    except zlib.error:
        return b""


def _is_image(head: bytes) -> bool:
    try:
        read_header(head)
    except ImageError as error:
        return error.code is not FailureCode.UNSUPPORTED
    return True


def _kind_by_name(name: str) -> ArchiveKind | None:
    lowered = name.lower().removesuffix(".gz")
    return next((kind for suffix, kind in _SUFFIXES.items() if lowered.endswith(suffix)), None)


def _read_tfrecord(stream: Stream) -> Iterator[RawMember]:
    """Yield the images under the names and with the labels that they were packed with.

    A record without a name, or that cannot be read, is named by its number, from `record-0`; behind a damaged
    span, whose records nobody can count, by the byte where it starts: `record-at-BYTE`.
    """
    for frame in read_frames(stream):
        image = parse_packed_image(frame.payload)
        name = f"record-{frame.key}".encode() if image.name is None else image.name
        label = NO_LABEL if image.label == NOT_A_DIGIT else image.label
        yield RawMember(name, image.content, label)


_SUFFIXES = {
    ".zip": ArchiveKind.ZIP,
    ".tar": ArchiveKind.TAR,
    ".tgz": ArchiveKind.TAR,
    ".tfrecord": ArchiveKind.TFRECORD,
    ".tfrecords": ArchiveKind.TFRECORD,
}
_GZIPPED: dict[ArchiveKind | None, ArchiveKind] = {
    ArchiveKind.TAR: ArchiveKind.TAR_GZ,
    ArchiveKind.TFRECORD: ArchiveKind.TFRECORD_GZ,
}
_READERS: dict[ArchiveKind, Callable[[BinaryIO], Iterator[RawMember]]] = {
    ArchiveKind.TAR: read_tar,
    ArchiveKind.TAR_GZ: lambda file: read_tar(InflatedStream(file)),
    ArchiveKind.ZIP: read_zip,
    ArchiveKind.TFRECORD: _read_tfrecord,
    ArchiveKind.TFRECORD_GZ: lambda file: _read_tfrecord(InflatedStream(file)),
}
