"""Verifies a finished output: reads every file again and compares it with the manifest."""

import collections
import dataclasses
import itertools
from collections.abc import Container, Iterator
from typing import Any, Final

from digitmill.records import read_records
from digitmill.reports.csv_table import read_csv
from digitmill.storage import OutputFolder
from digitmill.storage.interface import LOCK
from pipelines.history import incremental
from pipelines.listing.frozen_listing import read_items
from pipelines.listing.work_item import WorkItem
from pipelines.statistics.item_statistics import ItemStatistics, merge_statistics
from schemas import manifest
from schemas.errors import UserError
from schemas.layout import (
    LISTING,
    PREDICTIONS,
    REPORTS,
    STATISTICS,
    is_bucket,
    is_joined,
    is_listed,
    statistics_name,
)
from schemas.manifest import Manifest, Part

_COUNTED: Final = ("scored", "accepted", "labelled", "right", "agreed", "challenger_right")
"""Counts that are both in the manifest and in each statistics record."""

MAX_FINDINGS: Final = 20
"""Findings that are printed; further ones are only counted."""


@dataclasses.dataclass(frozen=True)
class Verification:
    """Result of a verification: what was read, and one line for each difference."""

    place: str
    manifest: Manifest
    files: int
    bytes: int
    findings: tuple[str, ...]

    def as_data(self) -> dict[str, Any]:
        """Returns the result as JSON data, with all findings."""
        return {
            "output": self.place,
            "files": self.files,
            "bytes": self.bytes,
            "counts": dataclasses.asdict(self.manifest.counts),
            "findings": list(self.findings),
        }

    def table(self) -> str:
        """Returns the lines to print."""
        counts = self.manifest.counts
        read = f"{self.files:,} files, {self.bytes:,} bytes"
        if not self.findings:
            return (
                f"{self.place}: {read}, all as the manifest says\n"
                f"{counts.listed:,} listed = {counts.scored:,} scored + {counts.failed:,} failed "
                f"+ {counts.skipped:,} skipped; every listed image has one outcome"
            )
        more = len(self.findings) - MAX_FINDINGS
        lines = [
            f"{self.place}: {read}, {len(self.findings):,} findings",
            *self.findings[:MAX_FINDINGS],
        ]
        return "\n".join([*lines, *([f"and {more:,} more"] if more > 0 else [])])


def verify(output: OutputFolder) -> Verification:
    """Reads every file that the manifest names, and counts again.

    1. Each part has its digest, its size and its number of rows.
    2. There are no other files in the output's folders.
    3. Each listed image is in the rows or the failures of its work item, once, and no other image is.
    4. The work items add up to the counts of the manifest.

    Raises:
        UserError: when there is no finished run.
    """
    found = _open(output)
    parts = {part.name: part for part in found.parts}
    findings = list(itertools.chain.from_iterable(_check_part(output, part) for part in found.parts))
    findings += (f"{name}: not named by the manifest" for name in sorted(_extra(output, parts)))
    if not findings:
        # Damage is reported once: outcomes are only counted in intact files.
        findings += _check_outcomes(output, found)
    size = sum(part.bytes for part in found.parts)
    return Verification(output.place, found, len(parts) + 1, size, tuple(findings))


def _open(output: OutputFolder) -> Manifest:
    try:
        return Manifest.from_json(output.read(manifest.FILE).decode())
    except FileNotFoundError:
        raise UserError(
            f"no finished run, without {manifest.FILE}",
            value=output.place,
            hint="name an output of `digitmill score`, or finish the run by --resume",
        ) from None
    except ValueError as error:
        raise UserError(
            "the manifest is damaged or of another version",
            value=output.at(manifest.FILE),
            hint=f"copy the output again, or score again: {error}",
        ) from error


def _check_part(output: OutputFolder, part: Part) -> Iterator[str]:
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
    rows = _rows(part.name, data)
    if rows is not None and rows != part.rows:
        yield f"{part.name}: {rows:,} rows, {part.rows:,} expected"


def _rows(name: str, data: bytes) -> int | None:
    """Returns the number of records in a file; None for one that has none."""
    match name.removesuffix(".gz").rpartition(".")[2]:
        case "tfrecord":
            return sum(1 for _ in read_records(data))
        case "csv":
            return sum(1 for _ in read_csv(name, data))
        case _:
            return None


def _extra(output: OutputFolder, parts: dict[str, Part]) -> Iterator[str]:
    ours = (PREDICTIONS, REPORTS, STATISTICS, LISTING)
    for name in output.walk():
        if name not in parts and name not in (manifest.FILE, LOCK) and name.startswith(ours):
            yield name


def _check_outcomes(output: OutputFolder, found: Manifest) -> Iterator[str]:
    parts = {part.name for part in found.parts}
    listing = sorted(name for name in parts if name.startswith(f"{LISTING}/"))
    joined = any(map(is_bucket, listing))
    scored = is_joined if joined else is_listed
    totals: collections.Counter[str] = collections.Counter()
    for name in filter(scored, listing):
        for item in read_items(output, name):
            yield from _check_item(output, item, parts=parts, totals=totals)
    for name in filter(is_bucket, listing):
        bucket = incremental.Bucket.from_bytes(output.read(name))
        totals["skipped"] += bucket.skipped_images
        totals["skipped_failed"] += bucket.skipped_failed
    totals["listed"] = totals["scored"] + totals["failed"] + totals["skipped"]
    yield from _check_counts(found, totals)


def _check_counts(found: Manifest, totals: collections.Counter[str]) -> Iterator[str]:
    """Compares the sums of the records with the counts of the manifest."""
    challenged = ("agreed", "challenger_right") if found.challenger else ()
    named = ("accepted", "labelled", "right", "skipped_failed", *challenged)
    expected = dataclasses.asdict(found.counts) | {name: getattr(found, name) for name in named}
    expected |= {f"failures of {code}": count for code, count in found.failures.items()}
    for name, count in expected.items():
        if totals[name] != count:
            yield f"{manifest.FILE}: {totals[name]:,} {name} when recounted, {count:,} expected"
    if found.status != found.counts.status(found.options.get("max_failure_rate")):
        yield f"{manifest.FILE}: a status of {found.status!r}, but {found.failure_rate:.1%} failed"


def _check_item(
    output: OutputFolder, item: WorkItem, *, parts: Container[str], totals: collections.Counter[str]
) -> Iterator[str]:
    name = statistics_name(item.digest)
    if name not in parts:
        yield f"{name}: not named by the manifest"
        return
    record = ItemStatistics.from_json(output.read(name).decode())
    outcomes = collections.Counter(failure.image for failure in record.failures)
    for part in record.parts:
        if part.name not in parts:
            yield f"{part.name}: named by {name}, not by the manifest"
        elif ".csv" in part.name:
            outcomes.update(row[0] for row in read_csv(part.name, output.read(part.name)))
    _count(record, totals)
    yield from (f"{image}: {count} outcomes" for image, count in outcomes.items() if count > 1)
    if not item.may_be_archive:
        listed = {image.uri for image in item.images}
        yield from (f"{image}: listed, but no outcome" for image in sorted(listed - outcomes.keys()))
        yield from (f"{image}: outcome, but not listed" for image in sorted(outcomes.keys() - listed))


def _count(record: ItemStatistics, totals: collections.Counter[str]) -> None:
    counted = merge_statistics([record])
    totals["failed"] += len(counted.failures)
    totals.update({name: getattr(counted, name) for name in _COUNTED})
    totals.update(f"failures of {failure.code}" for failure in counted.failures)
