"""Compares the prediction files of a run with each other and with the statistics records."""

import collections
import gzip
import hashlib
import io
import itertools
import zlib
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from digitmill.records import encode_records, parse_example, read_records
from digitmill.reports.csv_table import encode_csv, read_csv
from digitmill.storage.names import folder_of
from pipelines.listing.relative_names import RelativeNames
from pipelines.rows.row_columns import SLICE_ROWS, Columns, cells_of, definitions_of
from pipelines.rows.row_encoding import csv_lines
from pipelines.rows.row_reading import Piece, decode_rows, exact_part, pieces_of, read_rows
from pipelines.statistics.item_statistics import ItemStatistics
from schemas import failure
from schemas.errors import counted
from schemas.layout import DEFAULT_FORMATS, Format, format_of
from schemas.manifest import Part
from schemas.prediction import NO_LABEL, Decision

_LATER_COLUMNS: Final = frozenset({"path", "reason"})
"""Columns missing from tables of earlier versions."""

_FAILURE_HEADER: Final = [column.name for column in failure.COLUMNS]
_COUNTED: Final = (
    "scored",
    "accepted",
    "labeled",
    "right",
    "agreed",
    "challenger_right",
    "accepted_labeled",
    "accepted_right",
    "not_digits",
)
"""Counts of a statistics record that can be recomputed from its rows."""

Reader = Callable[[str], bytes]
"""Returns the content of an output file by name."""

Row = Mapping[str, Any]
"""A prediction as stored in a TFRecord; None or `NO_LABEL` for missing values."""


class _Pair(NamedTuple):
    """Two files with the same rows."""

    table: Part
    records: Part


class ItemRows:
    """The rows of one work item, read from all formats in parallel, a few thousand rows at a time.

    Args:
        record: the work item's statistics record.
        extra: names of the run's optional columns.
        formats: the run's formats.

    Attributes:
        findings: one line per difference; complete once `images` is exhausted.
    """

    def __init__(
        self,
        record: ItemStatistics,
        extra: Sequence[str] = (),
        formats: Collection[Format] = DEFAULT_FORMATS,
    ) -> None:
        self.findings: list[str] = []
        self._formats = set(formats)
        self._columns = definitions_of(extra)
        self._header = [column.name for column in self._columns]
        self._header_line = encode_csv([self._header])
        self._record = record
        self._counts: collections.Counter[str] = collections.Counter()
        self._digits: collections.Counter[tuple[str, int]] = collections.Counter()

    def images(self, read: Reader) -> Iterator[str]:
        """Yield the URI of each row."""
        for piece in pieces_of(self._record.parts):
            first = exact_part(piece)
            if piece.keys() != self._formats:
                found, wanted = (", ".join(sorted(each)) for each in (piece, self._formats))
                self.findings.append(f"{first.name}: in {found}, while the run has {wanted}")
                continue
            try:
                yield from self._compare_piece(piece, first, read)
            except ValueError as error:
                named = ", ".join(part.name for part in piece.values())
                self.findings.append(f"{named}: cannot be read: {error}")
        self._compare_counts()

    def _compare_piece(self, piece: Piece, first: Part, read: Reader) -> Iterator[str]:
        data, others = read(first.name), {*piece} - {format_of(first.name)}
        if Format.TFRECORD in piece and Format.CSV in piece:
            yield from self._compare(_Pair(piece[Format.CSV], first), read(piece[Format.CSV].name), data)
            others -= {Format.CSV}
        else:
            yield from self._read_alone(first, data)
        for other in others:
            self._compare_with(first, data, other=piece[other], there=read(piece[other].name))

    def _read_alone(self, part: Part, data: bytes) -> Iterator[str]:
        """Yield the URIs of a file that is not compared with a CSV."""
        for columns in read_rows(part.name, data, self._columns):
            self._count_columns(columns)
            yield from columns["image"]

    def _compare_with(self, first: Part, data: bytes, *, other: Part, there: bytes) -> None:
        """Compare the rows of two files: as CSV texts if one is a CSV, otherwise by exact values."""
        mine = read_rows(first.name, data, self._columns)
        theirs = read_rows(other.name, there, self._columns)
        as_texts = Format.CSV in (format_of(first.name), format_of(other.name))
        for number, (here, also) in enumerate(itertools.zip_longest(mine, theirs)):
            if here is None or also is None or not self._same(here, also, as_texts=as_texts):
                start = number * SLICE_ROWS + 1
                self.findings.append(f"{other.name}: rows from {start:,} on differ from {first.name}")
                return

    def _same(self, here: Columns, there: Columns, *, as_texts: bool) -> bool:
        if as_texts:
            return cells_of(here, self._columns) == cells_of(there, self._columns)
        return all(
            np.array_equal(here[each.name], there[each.name], equal_nan=each.kind == "number")
            if isinstance(here[each.name], np.ndarray)
            else here[each.name] == there[each.name]
            for each in self._columns
        )

    def _compare(self, pair: _Pair, text: bytes, records: bytes) -> Iterator[str]:
        alike = yield from self._alike(pair, text, records)
        if alike is None:
            return
        table = read_csv(pair.table.name, text, header=True)
        header = next(table, [])
        lacking = _LATER_COLUMNS - {*header}
        if header != [name for name in self._header if name not in lacking]:
            self.findings.append(f"{pair.table.name}: not the columns of predictions")
        places = [place for place, name in enumerate(self._header) if name in lacking]
        rows = map(parse_example, read_records(records))
        first, differing = "", 0
        rest = itertools.islice(itertools.zip_longest(table, rows), alike, None)
        for number, (cells, row) in enumerate(rest, start=alike + 1):
            if row is not None:
                self._count(row)
            whole = None if cells is None else _with_empty(cells, places)
            if whole is None or row is None or whole != self._cells(row) or not row.keys() <= {*self._header}:
                differing += 1
                first = first or f"row {number:,}: {self._difference(whole, row)}"
            if cells:
                yield cells[0]
        if differing:
            self.findings.append(
                f"{pair.table.name}: {counted(differing, 'row')} unlike those of {pair.records.name}, "
                f"first {first}"
            )

    def _alike(self, pair: _Pair, text: bytes, records: bytes) -> Generator[str, None, int | None]:
        """Yield the URIs of the leading rows whose bytes match in both files.

        Encodes many rows at once, which takes a sixth of the time of row by row. Returns the number of
        matching rows, or None if all rows match.
        """
        plain: io.BufferedIOBase = io.BytesIO(text)
        table = gzip.GzipFile(fileobj=plain) if pair.table.name.endswith(".gz") else plain
        payloads, count = read_records(records), 0
        try:
            same = table.read(len(self._header_line)) == self._header_line
            while same and (some := list(itertools.islice(payloads, SLICE_ROWS))):
                columns = decode_rows(some, self._columns)
                lines = csv_lines(self._columns, columns)
                written = encode_records(self._columns, columns)
                if table.read(len(lines)) != lines or list(read_records(written)) != some:
                    return count
                self._count_columns(columns)
                count += len(some)
                yield from columns["image"]
            return None if same and not table.read(1) else count
        except (ValueError, EOFError, zlib.error, gzip.BadGzipFile):
            return count

    def _cells(self, row: Row) -> list[str]:
        """Return the CSV cells of a prediction."""
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
            "labeled": known,
            "right": right,
            "agreed": digit == challenger,
            "challenger_right": known & (label == challenger),
            "accepted_labeled": accepted & known,
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
        self._counts["labeled"] += known
        self._counts["right"] += right
        self._counts["agreed"] += digit == challenger
        self._counts["challenger_right"] += known and label == challenger
        self._counts["accepted_labeled"] += accepted and known
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


def _with_empty(cells: Sequence[str], places: Iterable[int]) -> list[str]:
    """Return cells with empty ones inserted at the given places, which are ascending."""
    whole = list(cells)
    for place in places:
        whole.insert(place, "")
    return whole


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
    """Compares the rows of the failure tables with the failures of all records, in constant memory.

    Args:
        names: names of the images relative to the run's inputs.
    """

    def __init__(self, names: RelativeNames) -> None:
        self._names = names
        self._difference = 0

    def add(self, failures: Iterable[failure.Failure]) -> None:
        """Add the failures of a statistics record, in any order."""
        for row in self._names.failure_rows(failures):
            self._difference += _digest(row)

    def add_table(self, name: str, data: bytes) -> None:
        """Add a failure table; raise ValueError when it is damaged or has other columns."""
        rows = read_csv(name, data, header=True)
        if next(rows, None) != _FAILURE_HEADER:
            raise ValueError("not the columns of failures")
        for row in rows:
            self._difference -= _digest(row)

    def findings(self, name: str) -> Iterator[str]:
        """Yield a line, under this table name, if the rows of tables and records differ."""
        if self._difference:
            yield f"{name}: its rows are not the failures in the statistics records"


def _digest(row: Sequence[object]) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(map(str, row)).encode(errors="surrogatepass")).digest())
