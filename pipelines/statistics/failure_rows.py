"""Holds any number of failures in bounded memory: an archive or a run may have a million.

A statistics record has its first failures; further ones are in files that the record names. A run's failures
are sorted on disk if there are many.
"""

import gzip
import io
import itertools
import json
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final

from digitmill.storage.sorted_rows import SortedRows
from schemas.failure import Failure
from schemas.layout import STATISTICS
from schemas.manifest import Part
from schemas.versioned import fields_of, parse_json

MOST_IN_MEMORY: Final = 65_536
"""Maximum number of failures in a record, and of a run in memory; each takes a kilobyte."""

_PREFIX: Final = f"{STATISTICS}/failures-"


def is_failure_file(name: str) -> bool:
    """Whether a file has failures of a work item that are not in its record."""
    return name.startswith(_PREFIX)


def failure_file(piece: str, failures: Sequence[Failure]) -> tuple[Part, bytes]:
    """Return part and content of the file for the failures of a piece of a work item."""
    lines = (json.dumps(each.fields()) for each in failures)
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
        read: returns the content of an output file by name.
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
    """Failures on disk, sorted by image URI."""

    def __init__(self, rows: SortedRows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Failure]:
        for image, fields in self._rows:
            yield Failure(image, *fields)


class FailureSorter:
    """Sorts failures by image URI, on disk if there are many."""

    def __init__(self) -> None:
        self._few: list[Failure] = []
        self._many: SortedRows | None = None

    def add(self, failures: Iterable[Failure]) -> None:
        """Add failures; once there are many, only one at a time is in memory."""
        rest = iter(failures)
        if self._many is None:
            self._few += itertools.islice(rest, MOST_IN_MEMORY + 1 - len(self._few))
            if len(self._few) <= MOST_IN_MEMORY:
                return
            self._many = SortedRows()
            self._many.add(map(_row, self._few))
            self._few.clear()
        self._many.add(map(_row, rest))

    def result(self) -> Collection[Failure]:
        """Return all failures, sorted. Do not add failures afterwards."""
        if self._many is not None:
            return SortedFailures(self._many)
        return tuple(sorted(self._few, key=lambda failure: (failure.image, json.dumps(_row(failure)[1]))))


def _row(failure: Failure) -> tuple[str, object]:
    return failure.image, [failure.generation, failure.code, failure.detail]
