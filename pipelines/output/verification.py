"""Verifies a finished output: rereads every file and compares it with the manifest."""

import collections
import contextlib
import dataclasses
import gzip
import itertools
import os
import zlib
from collections.abc import Container, Iterator, Sequence, Set
from typing import Any, Final, Self

from digitmill.commands.progress_bar import progress_bar
from digitmill.machine import rare_collections
from digitmill.storage import OutputFolder
from digitmill.storage.interface import LOCK
from digitmill.storage.names import page_uri, split_page
from pipelines.archives import NameCounts
from pipelines.history import incremental
from pipelines.listing.frozen_listing import read_items
from pipelines.listing.work_item import WorkItem
from pipelines.output import output_run, signing
from pipelines.output.row_comparison import FailureRows, ItemRows
from pipelines.rows.row_reading import count_rows_of
from pipelines.score_options import extra_columns
from pipelines.statistics.item_statistics import ItemStatistics, merge_statistics, read_record
from schemas import manifest
from schemas.checks.gates import figures
from schemas.errors import UserError, counted
from schemas.layout import (
    FAILURES,
    FOLDERS,
    LISTING,
    PREDICTIONS,
    Format,
    format_of,
    is_bucket,
    is_failure_table,
    is_joined,
    is_listed,
    parse_formats,
    statistics_name,
)
from schemas.manifest import Manifest, Part

_COUNTED: Final = ("scored", "accepted", "labeled", "right", "agreed", "challenger_right", "not_digits")
"""Counts that both the manifest and each statistics record have."""

MAX_FINDINGS: Final = 20
"""Maximum number of findings to print; further ones are only counted."""


@dataclasses.dataclass(frozen=True)
class Verification:
    """Result of a verification: what was read, and one line per difference.

    Attributes:
        signature: result of checking the manifest's signature; empty if it has none.
    """

    place: str
    manifest: Manifest
    files: int
    bytes: int
    findings: tuple[str, ...]
    signature: str = ""

    def as_data(self) -> dict[str, Any]:
        """Return the result as JSON data, with all findings."""
        return {
            "output": self.place,
            "files": self.files,
            "bytes": self.bytes,
            "signature": self.signature,
            "counts": dataclasses.asdict(self.manifest.counts),
            "findings": list(self.findings),
        }

    def table(self) -> str:
        """Return the lines to print."""
        counts = self.manifest.counts
        read = f"{counted(self.files, 'file')}, {counted(self.bytes, 'byte')}"
        if not self.findings:
            return (
                f"{self.place}: {read}, all as the manifest says{self.signature and f' ({self.signature})'}\n"
                f"{counts.listed:,} listed = {counts.scored:,} scored + {counts.failed:,} failed "
                f"+ {counts.skipped:,} skipped; every listed image has one outcome"
            )
        more = len(self.findings) - MAX_FINDINGS
        lines = [
            f"{self.place}: {read}, {counted(len(self.findings), 'finding')}",
            *self.findings[:MAX_FINDINGS],
        ]
        return "\n".join([*lines, *([f"and {more:,} more"] if more > 0 else [])])


def verify(output: OutputFolder, *, key: str | os.PathLike[str] | None = None) -> Verification:
    """Read every file that the manifest names and recount. Shows progress on a terminal.

    Checks that:

    0. With a public `key`, the manifest is signed with the matching private key. If not, no other file is
       read.
    1. Each part has the digest, size and number of rows that the manifest says.
    2. The output's folders contain no other files.
    3. Each listed image appears exactly once in the rows or failures of its work item, and no other image.
    4. Each row is the same in all formats, and the counts of each record match its rows.
    5. The work items add up to the manifest's counts, and their failures match the report's.

    Raises:
        UserError: when there is no finished run.
    """
    data, found = _open(output)
    signed = output.exists(manifest.SIGNATURE)
    signature = "signed; check it with --key" if signed else ""
    if key is not None:
        problem = signing.check_signature(output, data, key)
        if problem:
            return Verification(output.place, found, 1, 0, (f"{manifest.FILE}: {problem}",), problem)
        signature = "signed with the key"
    parts = {part.name: part for part in found.parts}
    with rare_collections(), _Reading(output, found) as reading:
        findings = list(itertools.chain.from_iterable(_check_part(reading, part) for part in found.parts))
        findings += (f"{name}: not named by the manifest" for name in sorted(_extra(output, parts)))
        if not findings:
            # Count outcomes only in intact files, so that damage is reported once.
            findings += _check_outcomes(reading, found)
    size = sum(part.bytes for part in found.parts)
    return Verification(output.place, found, len(parts) + 1 + signed, size, tuple(findings), signature)


class _Reading:
    """Reads files of an output, with a progress bar."""

    def __init__(self, output: OutputFolder, found: Manifest) -> None:
        self.output = output
        predictions = sum(part.bytes for part in found.parts if part.name.startswith(f"{PREDICTIONS}/"))
        self._bar = progress_bar(
            # Rows are read twice: for their digest and for the comparison.
            total=sum(part.bytes for part in found.parts) + predictions,
            unit="B",
            unit_scale=True,
            desc="verifying",
        )

    def read(self, name: str) -> bytes:
        data = self.output.read(name)
        self._bar.update(len(data))
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def _open(output: OutputFolder) -> tuple[bytes, Manifest]:
    try:
        data = output.read(manifest.FILE)
        return data, Manifest.from_json(data.decode())
    except FileNotFoundError:
        raise UserError(
            f"not a finished run, {manifest.FILE} is missing",
            value=output.place,
            hint="name an output of `digitmill score`, or finish the run by --resume",
        ) from None
    except ValueError as error:
        raise UserError(
            "the manifest is damaged or of another version",
            value=output.at(manifest.FILE),
            hint=f"copy the output again, or score again: {error}",
        ) from error


def _check_part(output: _Reading, part: Part) -> Iterator[str]:
    try:
        data = output.read(part.name)
    except FileNotFoundError:
        yield f"{part.name}: missing"
        return
    here = Part.of(part.name, data, rows=part.rows)
    if here != part:
        same = here.bytes == part.bytes
        how = "other content" if same else f"{here.bytes:,} bytes, {part.bytes:,} expected"
        yield f"{part.name}: changed ({how})"
        return
    try:
        rows = _rows(part.name, data)
    except ValueError as error:
        yield f"{part.name}: cannot be read: {error}"
        return
    if rows is not None and rows != part.rows:
        yield f"{part.name}: {counted(rows, 'row')}, {part.rows:,} expected"


def _rows(name: str, data: bytes) -> int | None:
    """Return the number of records in a file; None for a file without records."""
    return None if format_of(name) is None else count_rows_of(name, data)


def _extra(output: OutputFolder, parts: dict[str, Part]) -> Iterator[str]:
    ours = tuple(f"{folder}/" for folder in FOLDERS)
    for name in output.walk():
        if name not in parts and name not in (manifest.FILE, LOCK) and name.startswith(ours):
            yield name


def _check_outcomes(output: _Reading, found: Manifest) -> Iterator[str]:
    parts = {part.name for part in found.parts}
    listing = sorted(name for name in parts if name.startswith(f"{LISTING}/"))
    joined = any(map(is_bucket, listing))
    scored = is_joined if joined else is_listed
    totals: collections.Counter[str] = collections.Counter()
    failures = FailureRows(output_run.relative_names(output.output))
    extra = extra_columns(found.options)
    formats = parse_formats(found.options.get("format"))
    for name in filter(scored, listing):
        with _damage(name) as damage:
            for item in read_items(output.output, name):
                yield from _check_item(
                    output, item, parts=parts, totals=totals, failures=failures, extra=extra, formats=formats
                )
        yield from damage
    for name in filter(is_bucket, listing):
        with _damage(name) as damage:
            bucket = incremental.Bucket.from_bytes(output.output.read(name))
            totals["skipped"] += bucket.skipped_images
            totals["skipped_failed"] += bucket.skipped_failed
        yield from damage
    tables = sorted(filter(is_failure_table, parts))
    damaged = False
    for name in tables:
        with _damage(name) as damage:
            failures.add_table(name, output.output.read(name))
        damaged = damaged or bool(damage)
        yield from damage
    if tables and not damaged:
        yield from failures.findings(FAILURES)
    totals["listed"] = totals["scored"] + totals["failed"] + totals["skipped"]
    yield from _check_counts(found, totals)


@contextlib.contextmanager
def _damage(name: str) -> Iterator[list[str]]:
    """Context manager that catches the error of a damaged file; yields a list that gets its finding."""
    found: list[str] = []
    try:
        yield found
    except (ValueError, EOFError, zlib.error, gzip.BadGzipFile, FileNotFoundError) as error:
        found.append(f"{name}: cannot be read: {error}")


def _check_counts(found: Manifest, totals: collections.Counter[str]) -> Iterator[str]:
    """Compare the sums over the records with the counts of the manifest."""
    challenged = ("agreed", "challenger_right") if found.challenger else ()
    named = ("accepted", "labeled", "right", "skipped_failed", *challenged)
    expected = dataclasses.asdict(found.counts) | {name: getattr(found, name) for name in named}
    expected |= {f"failures of {code}": count for code, count in found.failures.items()}
    for name, count in expected.items():
        if totals[name] != count:
            yield f"{manifest.FILE}: {totals[name]:,} {name} when recounted, {count:,} expected"
    if found.figures and found.figures != figures(found):
        yield f"{manifest.FILE}: its figures do not follow from its counts"
    if found.status != found.counts.status(found.options.get("max_failure_rate")):
        yield f"{manifest.FILE}: a status of {found.status!r}, but {found.failure_rate:.1%} failed"


def _check_item(
    output: _Reading,
    item: WorkItem,
    *,
    parts: Container[str],
    totals: collections.Counter[str],
    failures: FailureRows,
    extra: Sequence[str],
    formats: Sequence[Format],
) -> Iterator[str]:
    name = statistics_name(item.digest)
    if name not in parts:
        yield f"{name}: not named by the manifest"
        return
    record = read_record(output.output.read(name), output.output)
    failures.add(record.failures)
    rows = ItemRows(record, extra, formats)
    unknown = [part.name for part in record.parts if part.name not in parts]
    yield from (f"{part}: named by {name}, not by the manifest" for part in unknown)
    found = rows.images(output.read) if not unknown else ()
    images = itertools.chain((failure.image for failure in record.failures), found)
    if item.may_be_archive:
        # The number of names is unbounded, so keep only their digests.
        names = NameCounts()
        for image in images:
            if names.add(image.encode()) == 2:
                yield f"{image}: 2 outcomes"
            # The name must be the archive's own, or a member's.
            if not f"{image}!".startswith(f"{item.images[0].uri}!"):
                yield f"{image}: outcome, but not listed"
        outcomes: collections.Counter[str] = collections.Counter()
    else:
        outcomes = collections.Counter(images)
    yield from rows.findings
    _count(record, totals)
    yield from (f"{image}: {count} outcomes" for image, count in outcomes.items() if count > 1)
    if not item.may_be_archive:
        yield from _check_owners({image.uri for image in item.images}, outcomes.keys())


def _check_owners(listed: Set[str], outcomes: Set[str]) -> Iterator[str]:
    """Check that each listed file has one outcome under its own name, or one per page."""
    pages: dict[str, set[int]] = {}
    for image in outcomes - listed:
        file, page = split_page(image)
        if file in listed:
            pages.setdefault(file, set()).add(page)
        else:
            yield f"{image}: outcome, but not listed"
    for file in sorted(listed - outcomes - pages.keys()):
        yield f"{file}: listed, but no outcome"
    for file, found in sorted(pages.items()):
        missing = set(range(1, max(found) + 1)) - found
        yield from (
            f"{page_uri(file, page)}: no outcome, but later pages have one" for page in sorted(missing)
        )


def _count(record: ItemStatistics, totals: collections.Counter[str]) -> None:
    counted = merge_statistics([record])
    totals["failed"] += len(counted.failures)
    totals.update({name: getattr(counted, name) for name in _COUNTED})
    totals.update(f"failures of {failure.code}" for failure in counted.failures)
