"""TFRecord files for the tests of their readers, framed byte by byte, and damaged in every way."""

import gzip
import itertools
from collections.abc import Callable, Sequence

import google_crc32c

FRAME = 16
"""Bytes of a record without its payload."""


def checksum(data: bytes) -> bytes:
    """The masked CRC32C of some bytes."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8 & 0xFFFFFFFF).to_bytes(4, "little")


def framed(payload: bytes) -> bytes:
    """One record."""
    length = len(payload).to_bytes(8, "little")
    return length + checksum(length) + payload + checksum(payload)


def file_of(payloads: Sequence[bytes]) -> bytes:
    """A TFRecord file."""
    return b"".join(map(framed, payloads))


def starts_of(payloads: Sequence[bytes]) -> list[int]:
    """Where each record starts, and where the file ends."""
    return list(itertools.accumulate((FRAME + len(payload) for payload in payloads), initial=0))


def flipped(data: bytes, at: int) -> bytes:
    """The same bytes but for one bit."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _flip(offset: int) -> Callable[[Sequence[bytes], int], bytes]:
    return lambda payloads, hit: flipped(file_of(payloads), starts_of(payloads)[hit] + offset)


def _cut(payloads: Sequence[bytes], hit: int) -> bytes:
    return file_of(payloads)[: starts_of(payloads)[hit] + 20]


def _garbage(payloads: Sequence[bytes], hit: int) -> bytes:
    at = starts_of(payloads)[hit]
    return file_of(payloads)[:at] + b"garbage" + file_of(payloads)[at:]


def _zeros(payloads: Sequence[bytes], hit: int) -> bytes:
    at = starts_of(payloads)[hit]
    return file_of(payloads)[:at] + bytes(2**20) + file_of(payloads)[at:]


def _cut_gzip(payloads: Sequence[bytes], hit: int) -> bytes:
    before = gzip.compress(_cut(payloads, hit), mtime=0)
    return before[:-8]


def _flipped_gzip_checksum(payloads: Sequence[bytes], hit: int) -> bytes:
    data = gzip.compress(file_of(payloads), mtime=0)
    return flipped(data, len(data) - 8)


DAMAGE: dict[str, tuple[Callable[[Sequence[bytes], int], bytes], Callable[[int, int], list[int]]]] = {
    "length": (_flip(2), lambda hit, count: [n for n in range(count) if n != hit]),
    "checksum of the length": (_flip(9), lambda hit, count: [n for n in range(count) if n != hit]),
    "payload": (_flip(14), lambda hit, count: [n for n in range(count) if n != hit]),
    "cut": (_cut, lambda hit, count: list(range(hit))),
    "garbage between": (_garbage, lambda hit, count: list(range(count))),
    "zeros between": (_zeros, lambda hit, count: list(range(count))),
    "damage below gzip": (
        lambda payloads, hit: gzip.compress(_flip(2)(payloads, hit), mtime=0),
        lambda hit, count: [n for n in range(count) if n != hit],
    ),
    "cut gzip": (_cut_gzip, lambda hit, count: list(range(hit))),
    "checksum of the gzip": (_flipped_gzip_checksum, lambda hit, count: list(range(count))),
}
"""What happens to the record `hit` of a file, and which of `count` records are readable then."""
