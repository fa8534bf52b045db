"""Members of archives: as yielded by the readers, and with their identities in a run."""

import array
import dataclasses
import hashlib
import re
import urllib.parse
from typing import Final, NamedTuple

from schemas.failure import MAX_BYTES, FailureCode, ImageError
from schemas.prediction import NO_LABEL

MAX_NAME: Final = 4_096
"""Longest name of a member, bytes: the limit of a path in Linux."""

_NAME_CUT: Final = 240
_SEPARATOR: Final = "!"
# Quoted in names that otherwise stay as they are: what separates a member, and bytes that are no text.
_QUOTED: Final = re.compile("[%!#\x00-\x1f\x7f\udc80-\udcff]")


class RawMember(NamedTuple):
    """One member as stored in its archive, with a name in an unknown encoding."""

    name: bytes
    content: bytes | ImageError
    label: int = NO_LABEL


@dataclasses.dataclass(frozen=True)
class Member:
    """One member of an archive, or the error that ended reading the archive.

    Attributes:
        name: the member's identity, see `member_uri`; the archive's own URI if the archive itself failed.
    """

    name: str
    content: bytes | ImageError
    label: int = NO_LABEL


def member_uri(archive: str, member: bytes, *, nth: int = 1) -> str:
    """Return a member's identity, `ARCHIVE!MEMBER`, or `ARCHIVE!MEMBER#2` for the second of a name.

    In a `file://` archive the member is percent-encoded as files are; elsewhere only `%`, `!`, `#`, control
    characters and bytes that are not UTF-8 are. So the `!` behind the archive separates the two, and
    unquoting the rest gives the member's bytes. A page of a member has one more `!`: see `names.page_uri`.
    """
    if archive.startswith("file://"):
        quoted = urllib.parse.quote_from_bytes(member, safe="/:")
    else:
        quoted = _QUOTED.sub(_quote, member.decode("utf-8", "surrogateescape"))
    suffix = "" if nth == 1 else f"#{nth}"
    return f"{archive}{_SEPARATOR}{quoted}{suffix}"


class NameCounts:
    """Counts names, using 24 to 48 bytes of memory per distinct name.

    A dictionary would use 200. Names are compared by 64 bits of a digest; equal digests count as one name.
    """

    def __init__(self) -> None:
        self._used = 0
        self._digests, self._counts = array.array("Q"), array.array("I")
        self._resize(1 << 14)

    def add(self, name: bytes) -> int:
        """Count a name once more, and return how often it was added."""
        if 2 * self._used >= len(self._digests):
            self._resize(2 * len(self._digests))
        digest = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest()) or 1
        place = self._place(digest)
        if not self._digests[place]:
            self._digests[place] = digest
            self._used += 1
        self._counts[place] += 1
        return self._counts[place]

    def _place(self, digest: int) -> int:
        """Return the slot of a digest, or the free one where it belongs."""
        digests, mask = self._digests, len(self._digests) - 1
        place = digest & mask
        while (there := digests[place]) and there != digest:
            place = (place + 1) & mask
        return place

    def _resize(self, slots: int) -> None:
        before = zip(self._digests, self._counts, strict=True)
        self._digests = array.array("Q", bytes(8 * slots))
        self._counts = array.array("I", bytes(4 * slots))
        for digest, count in before:
            if digest:
                place = self._place(digest)
                self._digests[place], self._counts[place] = digest, count


class MemberNames:
    """Gives each member of an archive a unique name, the same in every run."""

    def __init__(self, archive: str) -> None:
        self._archive = archive
        self._counts = NameCounts()
        self.given = 0

    def next(self, member: bytes) -> str:
        """Return the identity of the next member."""
        self.given += 1
        member = member if len(member) <= MAX_NAME else member[:_NAME_CUT]
        return member_uri(self._archive, member, nth=self._counts.add(member))


def cut_short() -> ImageError:
    """Return the error for a truncated archive."""
    return ImageError(FailureCode.CORRUPT, "the archive is cut short")


def too_large(size: int) -> ImageError:
    """Return the error for a member of `size` bytes, which is too large."""
    return ImageError(FailureCode.TOO_LARGE, f"{size:,} bytes; the limit is {MAX_BYTES:,}")


def _quote(match: re.Match[str]) -> str:
    return f"%{ord(match[0]) & 0xFF:02X}"
