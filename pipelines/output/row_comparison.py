"""Compares what the files of a run say about the same images: CSVs, TFRecords and statistics records."""

import collections
import dataclasses
import gzip
import hashlib
import io
import itertools
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from digitmill.records import decode_records, parse_example, read_records
from digitmill.reports.csv_table import encode_csv, read_csv
from digitmill.storage.names import folder_of
from pipelines.scoring.rows import SLICE_ROWS, Columns, definitions_of, encode_rows
from pipelines.statistics.failure_rows import is_failure_file
from pipelines.statistics.item_statistics import ItemStatistics
from schemas import failure, prediction
from schemas.columns import Column
from schemas.layout import Compression
from schemas.manifest import Part
from schemas.prediction import NO_LABEL, NO_NUMBER, Decision

_EARLIER_HEADER: Final = [column.name for column in prediction.COLUMNS if column.name != "reason"]
"""Of tables that earlier versions wrote."""

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
    "not_digits",
)
"""Counts of a statistics record that follow from its rows."""

_DEFAULTS: Final = {"string": b"", "integer": np.int64(NO_LABEL), "number": np.float32(NO_NUMBER)}
"""By a column's kind, what stands for a value that a record lacks."""

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
    """The rows of one work item, read from both formats at once, some thousand rows in memory.

    Args:
        record: of the work item.
        carry: columns of the input list that the rows have, too.

    Attributes:
        findings: one line for each difference; complete once `images` has ended.
    """

    def __init__(self, record: ItemStatistics, carry: Sequence[str] = ()) -> None:
        self.findings: list[str] = []
        self._columns = definitions_of(carry)
        self._header = [column.name for column in self._columns]
        self._header_line = encode_csv([self._header])
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
        text, records = read(pair.table.name), read(pair.records.name)
        alike = yield from self._alike(pair, text, records)
        if alike is None:
            return
        table = read_csv(pair.table.name, text, header=True)
        header = next(table, [])
        if header not in (self._header, _EARLIER_HEADER):
            self.findings.append(f"{pair.table.name}: not the columns of predictions")
        lacking = [""] * (len(self._header) - len(header))
        rows = map(parse_example, read_records(records))
        first, differing = "", 0
        rest = itertools.islice(itertools.zip_longest(table, rows), alike, None)
        for number, (cells, row) in enumerate(rest, start=alike + 1):
            if row is not None:
                self._count(row)
            whole = None if cells is None else cells + lacking
            if whole is None or row is None or whole != self._cells(row) or not row.keys() <= {*self._header}:
                differing += 1
                first = first or f"row {number:,}: {self._difference(whole, row)}"
            if cells:
                yield cells[0]
        if differing:
            self.findings.append(
                f"{pair.table.name}: {differing:,} rows differ from {pair.records.name}, first {first}"
            )

    def _alike(self, pair: _Pair, text: bytes, records: bytes) -> Generator[str, None, int | None]:
        """Yield the URIs of the first rows, as long as both files are what is written of the same columns.

        Many rows at once, in a sixth of the time. Returns the number of these rows; None if they are all.
        """
        plain: io.BufferedIOBase = io.BytesIO(text)
        table = gzip.GzipFile(fileobj=plain) if pair.table.name.endswith(".gz") else plain
        payloads, count = read_records(records), 0
        try:
            same = table.read(len(self._header_line)) == self._header_line
            while same and (some := list(itertools.islice(payloads, SLICE_ROWS))):
                columns = _decoded(some, self._columns)
                written = encode_rows(columns, Compression.NONE)
                lines = written["csv"][len(self._header_line) :]
                if table.read(len(lines)) != lines or list(read_records(written["tfrecord"])) != some:
                    return count
                self._count_columns(columns)
                count += len(some)
                yield from columns["image"]
            return None if same and not table.read(1) else count
        except (ValueError, EOFError, zlib.error, gzip.BadGzipFile):
            return count

    def _cells(self, row: Row) -> list[str]:
        """Return a prediction as the cells of its CSV row."""
        return [
            _cell(row.get(column.name), column.kind, nullable=column.nullable) for column in self._columns
        ]

    def _difference(self, cells: Sequence[str] | None, row: Row | None) -> str:
        if cells is None or row is None:
            return "only in the TFRecord" if cells is None else "only in the CSV"
        for name, here, there in zip(self._header, cells, self._cells(row), strict=False):
            if here != there:
                return f"{name} is {here!r}, in the TFRecord {there!r}"
        return "other columns"

    def _count_columns(self, columns: Columns) -> None:
        digit, label, challenger = (
            np.asarray(columns[name]) for name in ("digit", "label", "challenger_digit")
        )
        accepted = np.array([decision == Decision.ACCEPT.value for decision in columns["decision"]], bool)
        known, right = label != NO_LABEL, label == digit
        for name, rows in {
            "scored": np.ones(len(digit), bool),
            "accepted": accepted,
            "labelled": known,
            "right": right,
            "agreed": digit == challenger,
            "challenger_right": known & (label == challenger),
            "accepted_labelled": accepted & known,
            "accepted_right": accepted & right,
            "not_digits": np.array([reason is not None for reason in columns["reason"]], bool),
        }.items():
            self._counts[name] += int(rows.sum())
        self._digits.update(zip(map(folder_of, columns["image"]), digit.tolist(), strict=True))

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
        self._counts["not_digits"] += row.get("reason") is not None
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


def _decoded(payloads: Sequence[bytes], definitions: Sequence[Column]) -> Columns:
    """Return the columns of records; raise ValueError when these are none, or a text is not UTF-8."""
    defaults = {
        column.name: None if column.nullable and column.kind == "string" else _DEFAULTS[column.kind]
        for column in definitions
    }
    found = decode_records(payloads, defaults)
    return {
        column.name: [None if text is None else text.decode() for text in found[column.name]]
        if column.kind == "string"
        else found[column.name]
        for column in definitions
    }


def _is_accepted(row: Row) -> bool:
    return row.get("decision") == Decision.ACCEPT.encode()


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _cell(value: Any, kind: str, *, nullable: bool) -> str:
    if value is None or (nullable and (value == NO_LABEL or value != value)):
        return ""
    if kind == "string":
        return _text(value)
    return f"{value:.6f}" if kind == "number" and isinstance(value, float) else str(value)


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
