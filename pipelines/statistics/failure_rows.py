"""Failures in any number, in bounded memory: an archive or a run may have a million.

A statistics record holds its first failures; further ones stand in files that the record names. Those of a
run are sorted by SQLite, on disk, if they are many.
"""

import gzip
import io
import itertools
import json
import sqlite3
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final

from schemas.failure import Failure
from schemas.layout import STATISTICS
from schemas.manifest import Part
from schemas.versioned import fields_of, parse_json

MOST_IN_MEMORY: Final = 65_536
"""Failures that a record, and a run in memory, may hold; each takes half a kilobyte."""

_PREFIX: Final = f"{STATISTICS}/failures-"


def is_failure_file(name: str) -> bool:
    """Whether a file holds failures of a work item that are not in its record."""
    return name.startswith(_PREFIX)


def failure_file(piece: str, failures: Sequence[Failure]) -> tuple[Part, bytes]:
    """Return the description and content of the file that holds the failures of a piece of a work item."""
    lines = (json.dumps([each.image, each.generation, each.code, each.detail]) for each in failures)
    data = gzip.compress("".join(f"{line}\n" for line in lines).encode(), 1, mtime=0)
    whole = Part.of(f"{_PREFIX}{piece}.json.gz", data, rows=len(failures))
    return Part.of(f"{_PREFIX}{piece}-{whole.sha256[:8]}.json.gz", data, rows=whole.rows), data


def _parse_file(data: bytes) -> Iterator[Failure]:
    """Yield the failures in a file; raise ValueError when it is damaged."""
    try:
        for line in gzip.GzipFile(fileobj=io.BytesIO(data)):
            with fields_of("a failure"):
                failure = Failure(*parse_json(line))
            yield failure
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"damaged failures: {error}") from error


class _Lazy(Collection[Failure]):
    def __contains__(self, failure: object) -> bool:
        return any(each == failure for each in self)


class RecordedFailures(_Lazy):
    """The failures of a work item: those in its record, then those in its files, one file at a time.

    Args:
        read: returns a file of the output by its name.
    """

    def __init__(
        self, kept: Collection[Failure], files: Sequence[Part], read: Callable[[str], bytes]
    ) -> None:
        self._kept = kept
        self._files = files
        self._read = read

    def __len__(self) -> int:
        return len(self._kept) + sum(file.rows for file in self._files)

    def __iter__(self) -> Iterator[Failure]:
        yield from self._kept
        for file in self._files:
            yield from _parse_file(self._read(file.name))


class SortedFailures(_Lazy):
    """Failures by their images' URIs, in a temporary file."""

    def __init__(self, failures: Iterable[Failure]) -> None:
        # SQLite removes a database without a name by itself. Bytes of UTF-8 sort as Python sorts text.
        self._database = sqlite3.connect("")
        self._database.execute("CREATE TABLE given (image BLOB, generation TEXT, code TEXT, detail BLOB)")
        rows = (
            (_encoded(each.image), str(each.generation), each.code, _encoded(each.detail))
            for each in failures
        )
        self._database.executemany("INSERT INTO given VALUES (?, ?, ?, ?)", rows)
        self._database.execute("CREATE TABLE sorted AS SELECT * FROM given ORDER BY image, rowid")
        self._database.execute("DROP TABLE given")
        ((self._count,),) = self._database.execute("SELECT COUNT(*) FROM sorted")

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Failure]:
        for image, generation, code, detail in self._database.execute("SELECT * FROM sorted ORDER BY rowid"):
            yield Failure(_decoded(image), int(generation), code, _decoded(detail))


def sort_failures(failures: Iterable[Failure]) -> Collection[Failure]:
    """Return failures by their images' URIs; of equal URIs, in the order given."""
    rest = iter(failures)
    first = list(itertools.islice(rest, MOST_IN_MEMORY + 1))
    if len(first) > MOST_IN_MEMORY:
        return SortedFailures(itertools.chain(first, rest))
    return tuple(sorted(first, key=lambda failure: failure.image))


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _decoded(data: bytes) -> str:
    return data.decode(errors="surrogatepass")
