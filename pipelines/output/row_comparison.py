"""Compares what the files of a run say about the same images: CSVs, TFRecords and statistics records."""

import collections
import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from digitmill.records import parse_example, read_records
from digitmill.reports.csv_table import read_csv
from digitmill.storage.names import folder_of
from pipelines.statistics.failure_rows import is_failure_file
from pipelines.statistics.item_statistics import ItemStatistics
from schemas import failure, prediction
from schemas.manifest import Part
from schemas.prediction import NO_LABEL, Decision

_HEADER: Final = [column.name for column in prediction.COLUMNS]
_FAILURE_HEADER: Final = [column.name for column in failure.COLUMNS]
_COUNTED: Final = (
    "scored",
    "accepted",
    "labelled",
    "right",
    "agreed",
    "challenger_right",
    "accepted_labelled",
    "accepted_right",
)
"""Counts of a statistics record that follow from its rows."""

Reader = Callable[[str], bytes]
"""Returns a file of the output by its name."""

Row = Mapping[str, Any]
"""A prediction as its TFRecord holds it; None or `NO_LABEL` where it has no value."""


@dataclasses.dataclass(frozen=True)
class _Pair:
    """The two files that hold the same rows."""

    table: Part
    records: Part


class ItemRows:
    """The rows of one work item, read from both formats at once, one row of each in memory.

    Attributes:
        findings: one line for each difference; complete once `images` has ended.
    """

    def __init__(self, record: ItemStatistics) -> None:
        self.findings: list[str] = []
        self._record = record
        self._counts: collections.Counter[str] = collections.Counter()
        self._digits: collections.Counter[tuple[str, int]] = collections.Counter()

    def images(self, read: Reader) -> Iterator[str]:
        """Yield the URI in each row."""
        for pair in self._pairs():
            try:
                yield from self._compare(pair, read)
            except ValueError as error:
                self.findings.append(f"{pair.table.name} or its TFRecord cannot be read: {error}")
        self._compare_counts()

    def _pairs(self) -> Iterator[_Pair]:
        by_stem: dict[str, dict[str, Part]] = {}
        for part in self._record.parts:
            if is_failure_file(part.name):
                continue
            stem, _, kind = part.name.removesuffix(".gz").rpartition(".")
            by_stem.setdefault(stem, {})[kind] = part
        for stem, parts in by_stem.items():
            if set(parts) == {"csv", "tfrecord"}:
                yield _Pair(parts["csv"], parts["tfrecord"])
            else:
                self.findings.append(f"{stem}: one format only ({', '.join(sorted(parts))})")

    def _compare(self, pair: _Pair, read: Reader) -> Iterator[str]:
        table = read_csv(pair.table.name, read(pair.table.name), header=True)
        if next(table, None) != _HEADER:
            self.findings.append(f"{pair.table.name}: not the columns of predictions")
        rows = map(parse_example, read_records(read(pair.records.name)))
        first, differing = "", 0
        for number, (cells, row) in enumerate(itertools.zip_longest(table, rows), start=1):
            if row is not None:
                self._count(row)
            if cells is None or row is None or cells != _cells(row) or not row.keys() <= {*_HEADER}:
                differing += 1
                first = first or f"row {number:,}: {_difference(cells, row)}"
            if cells:
                yield cells[0]
        if differing:
            self.findings.append(
                f"{pair.table.name}: {differing:,} rows differ from {pair.records.name}, first {first}"
            )

    def _count(self, row: Row) -> None:
        digit, label = row.get("digit"), row.get("label", NO_LABEL)
        challenger = row.get("challenger_digit", NO_LABEL)
        accepted, known, right = _is_accepted(row), label != NO_LABEL, label == digit
        self._counts["scored"] += 1
        self._counts["accepted"] += accepted
        self._counts["labelled"] += known
        self._counts["right"] += right
        self._counts["agreed"] += digit == challenger
        self._counts["challenger_right"] += known and label == challenger
        self._counts["accepted_labelled"] += accepted and known
        self._counts["accepted_right"] += accepted and right
        self._digits[folder_of(_text(row.get("image"))), digit] += 1  # type: ignore[index]

    def _compare_counts(self) -> None:
        name = f"statistics of {self._record.digest}"
        for count in _COUNTED:
            stated = getattr(self._record, count)
            if self._counts[count] != stated:
                self.findings.append(
                    f"{name}: {self._counts[count]:,} {count} in its rows, {stated:,} stated"
                )
        stated = {(tally.folder, tally.digit): tally.images for tally in self._record.tallies}
        if self._digits != stated:
            self.findings.append(f"{name}: other digits in its rows than in its tallies")


def _is_accepted(row: Row) -> bool:
    return row.get("decision") == Decision.ACCEPT.encode()


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _cells(row: Row) -> list[str]:
    """Return a prediction as the cells of its CSV row."""
    return [
        _cell(row.get(column.name), column.kind, nullable=column.nullable) for column in prediction.COLUMNS
    ]


def _cell(value: Any, kind: str, *, nullable: bool) -> str:
    if value is None or (nullable and (value == NO_LABEL or value != value)):
        return ""
    if kind == "string":
        return _text(value)
    return f"{value:.6f}" if kind == "number" and isinstance(value, float) else str(value)


def _difference(cells: Sequence[str] | None, row: Row | None) -> str:
    if cells is None or row is None:
        return "only in the TFRecord" if cells is None else "only in the CSV"
    for name, here, there in zip(_HEADER, cells, _cells(row), strict=False):
        if here != there:
            return f"{name} is {here!r}, in the TFRecord {there!r}"
    return "other columns"


class FailureRows:
    """Compares the rows of the tables of failures with the failures of all records, in flat memory."""

    def __init__(self) -> None:
        self._difference = 0

    def add(self, rows: Iterable[Sequence[object]]) -> None:
        """Add rows of statistics records, in any order."""
        for row in rows:
            self._difference += _digest(row)

    def add_table(self, name: str, data: bytes) -> None:
        """Add a table; raise ValueError when it is damaged or has other columns."""
        rows = read_csv(name, data, header=True)
        if next(rows, None) != _FAILURE_HEADER:
            raise ValueError("not the columns of failures")
        for row in rows:
            self._difference -= _digest(row)

    def findings(self, name: str) -> Iterator[str]:
        """Yield a line when the tables, of which one has this name, have other rows than the records."""
        if self._difference:
            yield f"{name}: its rows are not the failures in the statistics records"


def _digest(row: Sequence[object]) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(map(str, row)).encode(errors="surrogatepass")).digest())
