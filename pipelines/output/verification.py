"""Reads a finished output again and proves that it is what its manifest says."""

import collections
import csv
import dataclasses
import gzip
import io
import itertools
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any, Final

from digitmill.records import read_records
from digitmill.storage import OutputFolder
from digitmill.storage.interface import LOCK
from pipelines.history import incremental
from pipelines.listing.frozen_listing import LISTING, items_in
from pipelines.listing.work_item import WorkItem
from pipelines.report.scoring_report import REPORTS
from pipelines.scoring.parts import PREDICTIONS
from pipelines.statistics.item_statistics import ItemStatistics, merge
from schemas import manifest
from schemas.errors import UserError
from schemas.layout import STATISTICS, statistics_name
from schemas.manifest import Manifest, Part

_COUNTED: Final = ("scored", "accepted", "labelled", "right", "agreed", "challenger_right")
"""What a manifest says of a run and each record of its work item."""

FINDINGS: Final = 20
"""Findings that are named; of more, the number is told."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes:
        place: the output folder.
        manifest: what it says of itself.
        files: number of files that were read.
        bytes: their size.
        findings: what is not as it should be, a line each; none where all is well.
    """

    place: str
    manifest: Manifest
    files: int
    bytes: int
    findings: tuple[str, ...]

    def as_data(self) -> dict[str, Any]:
        """Returns the same in JSON's types, with every finding."""
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
                f"+ {counts.skipped:,} skipped; every listed image has one answer"
            )
        more = len(self.findings) - FINDINGS
        lines = [
            f"{self.place}: {read}, {len(self.findings):,} not as they should be",
            *self.findings[:FINDINGS],
        ]
        return "\n".join([*lines, *([f"and {more:,} more"] if more > 0 else [])])


def verify(output: OutputFolder) -> Verdict:
    """Reads every file that the manifest names, and recounts.

    1. Each part has its digest, its size and as many rows as it should.
    2. No other file pretends to be an output.
    3. Each listed image is in the rows or the failures of its work item, once, and nothing else is.
    4. The work items add up to the manifest's own figures.

    Raises:
        UserError: when there is no finished run.
    """
    found = _open(output)
    parts = {part.name: part for part in found.parts}
    findings = list(itertools.chain.from_iterable(_check_part(output, part) for part in found.parts))
    findings += (f"{name}: not named by the manifest" for name in sorted(_extra(output, parts)))
    if not findings:
        # What is damaged is said to be so once; answers are looked for in what is whole.
        findings += _check_answers(output, found)
    size = sum(part.bytes for part in found.parts)
    return Verdict(output.place, found, len(parts) + 1, size, tuple(findings))


def _open(output: OutputFolder) -> Manifest:
    try:
        return Manifest.from_json(output.read(manifest.FILE).decode())
    except FileNotFoundError:
        raise UserError(
            f"a finished run has a {manifest.FILE}",
            got=output.place,
            remedy="name an output of `digitmill score`; one that was cut off is gone on with by --resume",
        ) from None
    except ValueError as error:
        raise UserError(
            f"{manifest.FILE} is what a run wrote",
            got=output.at(manifest.FILE),
            remedy=f"copy the output again, or score anew: {error}",
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
    kind = name.removesuffix(".gz").rpartition(".")[2]
    if kind == "tfrecord":
        return sum(1 for _ in read_records(data))
    if kind == "csv":
        return sum(1 for _ in _csv_rows(name, data)) - 1
    return None


def _extra(output: OutputFolder, parts: dict[str, Part]) -> Iterator[str]:
    ours = (PREDICTIONS, REPORTS, STATISTICS, LISTING)
    for name in output.walk():
        if name not in parts and name not in (manifest.FILE, LOCK) and name.startswith(ours):
            yield name


def _check_answers(output: OutputFolder, found: Manifest) -> Iterator[str]:
    parts = {part.name for part in found.parts}
    listing = sorted(name for name in parts if name.startswith(f"{LISTING}/"))
    joined = any(map(incremental.is_bucket, listing))
    scored = incremental.is_joined if joined else incremental.is_listed
    totals: collections.Counter[str] = collections.Counter()
    for name in filter(scored, listing):
        for item in items_in(output, name):
            yield from _check_item(output, item, parts=parts, totals=totals)
    for name in filter(incremental.is_bucket, listing):
        totals["skipped"] += incremental.Bucket.from_bytes(output.read(name)).skipped
    totals["listed"] = totals["scored"] + totals["failed"] + totals["skipped"]
    yield from _check_counts(found, totals)


def _check_counts(found: Manifest, totals: collections.Counter[str]) -> Iterator[str]:
    """Holds what the records add up to against what the manifest says of the whole run."""
    challenged = ("agreed", "challenger_right") if found.challenger else ()
    said = dataclasses.asdict(found.counts) | {
        name: getattr(found, name) for name in ("accepted", "labelled", "right", *challenged)
    }
    said |= {f"failures of {code}": count for code, count in found.failures.items()}
    for name, count in said.items():
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
    answers = collections.Counter(failure.image for failure in record.failures)
    for part in record.parts:
        if part.name not in parts:
            yield f"{part.name}: named by {name}, not by the manifest"
        elif ".csv" in part.name:
            answers.update(_images(part.name, output.read(part.name)))
    _count(record, totals)
    twice = [image for image, count in answers.items() if count > 1]
    yield from (f"{image}: answered {answers[image]} times" for image in twice)
    if not item.may_be_archive:
        listed = {image.uri for image in item.images}
        yield from (f"{image}: listed and not answered" for image in sorted(listed - answers.keys()))
        yield from (f"{image}: answered and not listed" for image in sorted(answers.keys() - listed))


def _count(record: ItemStatistics, totals: collections.Counter[str]) -> None:
    counted = merge([record])
    totals["failed"] += len(counted.failures)
    totals.update({name: getattr(counted, name) for name in _COUNTED})
    totals.update(f"failures of {failure.code}" for failure in counted.failures)


def _images(name: str, data: bytes) -> Iterable[str]:
    return (row[0] for row in itertools.islice(_csv_rows(name, data), 1, None))


def _csv_rows(name: str, data: bytes) -> Iterator[Sequence[str]]:
    plain = gzip.decompress(data) if name.endswith(".gz") else data
    return csv.reader(io.StringIO(plain.decode(), newline=""))
