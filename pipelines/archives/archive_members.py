"""Images packed in one file: tar, tar.gz, zip and TFRecords, read member by member.

Nothing is ever written under a member's name, so `../../etc/passwd` is a name like any other. Memory
stays bounded whatever an archive holds: one member at a time, and at most `schemas.failure.MAX_BYTES`
of it. Work stays bounded by the archive's own size: see `pipelines.archives.archive_stream`.
"""

import dataclasses
import enum
import hashlib
import re
import urllib.parse
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from digitmill.imaging.headers.header import read_header
from pipelines.archives.archive_stream import MAX_NAME, ArchiveError, InflatedStream, RawMember
from pipelines.archives.archive_tar import is_tar, read_tar
from pipelines.archives.archive_tfrecord import is_tfrecord, read_tfrecord
from pipelines.archives.archive_zip import MAGIC as ZIP_MAGIC
from pipelines.archives.archive_zip import read_zip
from schemas.failure import FailureCode, ImageError
from schemas.prediction import NO_LABEL

HEAD_BYTES: Final = 4_096
"""First bytes of a file that tell whether it is an archive."""

MAX_MEMBERS: Final = 1_000_000
"""Members that are read of an archive; 200 bytes are held of each until the last is read."""

_GZIP_MAGIC: Final = b"\x1f\x8b\x08"
_TAR_MARK: Final = b"ustar"
_NAME_CUT: Final = 240
_SEPARATOR: Final = "!"
# Of names that are otherwise left as they are: what marks a member, and bytes that are no text.
_QUOTED: Final = re.compile("[%!#\x00-\x1f\x7f\udc80-\udcff]")


class ArchiveKind(enum.StrEnum):
    """Kinds of files that hold images."""

    TAR = "tar"
    TAR_GZ = "tar.gz"
    ZIP = "zip"
    TFRECORD = "TFRecord"
    TFRECORD_GZ = "TFRecord.gz"


@dataclasses.dataclass(frozen=True)
class Member:
    """One member of an archive, or what ended the reading of an archive.

    Attributes:
        name: the member's identity, see `member_uri`; the archive's own name where the archive itself
            failed.
        content: the member's bytes, or why they cannot be had.
        label: the true digit, or `NO_LABEL`; only packed TFRecords know it.
    """

    name: str
    content: bytes | ImageError
    label: int = NO_LABEL


def archive_kind(name: str, head: bytes) -> ArchiveKind | None:
    """Returns what kind of archive a file is; None for an image or anything else.

    Content decides: magic bytes, or the checksum of a first header. A name counts only where content
    begins like nothing that is known, so that a damaged archive fails as the archive that it was.

    Args:
        name: path or URI.
        head: the file's first `HEAD_BYTES`, fewer where it is shorter.
    """
    if head.startswith(ZIP_MAGIC):
        return ArchiveKind.ZIP
    if head.startswith(_GZIP_MAGIC):
        return _GZIPPED.get(_plain_kind(_inflated(head)) or _kind_by_name(name))
    if kind := _plain_kind(head):
        return kind
    likely = ArchiveKind.TAR if head[257:262] == _TAR_MARK else _kind_by_name(name)
    # Asking whether it is an image takes long, and is seldom needed.
    return None if likely is None or not head or _is_image(head) else likely


def read_members(file: BinaryIO, kind: ArchiveKind, *, name: str) -> Iterator[Member]:
    """Yields every member of an archive once, its bytes or why they cannot be had.

    Folders are no members. Where the archive itself fails, the last one that is yielded has the
    archive's own name and says how many came before; so it does for an archive without a member.

    Args:
        file: the archive from its first byte; of a zip it must be seekable.
        kind: what `archive_kind` said.
        name: the archive's URI.
    """
    names = _Names(name)
    try:
        for raw in _READERS[kind](file):
            if names.given == MAX_MEMBERS:
                raise ArchiveError(FailureCode.TOO_LARGE, f"more than {MAX_MEMBERS:,} members")
            yield Member(names.next(raw.name), _image(raw), raw.label)
    except (ArchiveError, EOFError, zlib.error, OSError) as error:
        code, detail = _reason(error)
        yield Member(name, ImageError(code, f"{detail}; {names.given:,} members were read before"))
        return
    if not names.given:
        yield Member(name, ImageError(FailureCode.EMPTY, f"a {kind} without members"))


def member_uri(archive: str, member: bytes, *, nth: int = 1) -> str:
    """Returns a member's identity, `ARCHIVE!MEMBER`, or `ARCHIVE!MEMBER#2` for the second of a name.

    In a `file://` archive the member is percent-encoded as files are; elsewhere, as objects' names are
    not, only `%`, `!`, `#`, control characters and bytes that are no UTF-8. So the last `!` divides
    it, and unquoting the rest gives the member's bytes.
    """
    if archive.startswith("file://"):
        quoted = urllib.parse.quote_from_bytes(member, safe="/:")
    else:
        quoted = _QUOTED.sub(_quote, member.decode("utf-8", "surrogateescape"))
    suffix = "" if nth == 1 else f"#{nth}"
    return f"{archive}{_SEPARATOR}{quoted}{suffix}"


class _Names:
    """Gives each member of an archive its own name, the same in every run."""

    def __init__(self, archive: str) -> None:
        self._archive = archive
        # Digests, because a million names may be long.
        self._times: dict[bytes, int] = {}
        self.given = 0

    def next(self, member: bytes) -> str:
        self.given += 1
        member = member if len(member) <= MAX_NAME else member[:_NAME_CUT]
        digest = hashlib.blake2b(member, digest_size=16).digest()
        nth = self._times[digest] = self._times.get(digest, 0) + 1
        return member_uri(self._archive, member, nth=nth)


def _image(raw: RawMember) -> bytes | ImageError:
    if len(raw.name) > MAX_NAME:
        return ImageError(
            FailureCode.UNSUPPORTED, f"a name of {len(raw.name):,} bytes; at most {MAX_NAME:,} are taken"
        )
    if isinstance(raw.content, ImageError):
        return raw.content
    nested = archive_kind(raw.name.decode("latin-1"), raw.content[:HEAD_BYTES])
    if nested is not None:
        return ImageError(FailureCode.UNSUPPORTED, f"a {nested} within an archive: unpack it first")
    return raw.content


def _reason(error: Exception) -> tuple[FailureCode, str]:
    if isinstance(error, ArchiveError):
        return error.code, error.detail
    # gzip's own complaint is an OSError that the system knows nothing of.
    if isinstance(error, OSError) and error.errno is not None:
        return FailureCode.UNREADABLE, error.strerror or type(error).__name__
    return FailureCode.CORRUPT, f"damaged: {error}"


def _quote(match: re.Match[str]) -> str:
    return f"%{ord(match[0]) & 0xFF:02X}"


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
    ArchiveKind.TFRECORD: read_tfrecord,
    ArchiveKind.TFRECORD_GZ: lambda file: read_tfrecord(InflatedStream(file)),
}
