"""Reads the images in zip, tar and TFRecord files, one member at a time and in bounded memory.

`archive_kind` determines from a file's first bytes whether it is an archive; `read_members` yields every
member once, with its bytes or an error. Nothing is ever written under a member's name.
"""

from pipelines.archives.archive_members import HEAD_BYTES, ArchiveKind, archive_kind, read_members
from pipelines.archives.member import Member, NameCounts, member_uri

__all__ = ["HEAD_BYTES", "ArchiveKind", "Member", "NameCounts", "archive_kind", "member_uri", "read_members"]
