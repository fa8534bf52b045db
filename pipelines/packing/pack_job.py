"""Runs a pack from its options to its manifest, and resumes one that was interrupted."""

import dataclasses
import datetime
import fnmatch
import importlib.metadata
import json
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from digitmill.commands import Effect, run_config
from digitmill.reports.csv_table import encode_csv
from digitmill.storage import ImageReader, OutputFolder, Selection, Survey, open_folder
from digitmill.storage.interface import Hold
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import printable
from pipelines.listing.frozen_listing import FrozenItem
from pipelines.listing.input_listing import check_output_outside_inputs, list_images
from pipelines.listing.relative_names import RelativeNames, recorded_inputs
from pipelines.listing.true_labels import attach_labels
from pipelines.listing.work_item import WorkItem
from pipelines.output.output_run import has_begun
from pipelines.output.reconcile import remove_temporary_files
from pipelines.output.run_progress import Progress, show_listing
from pipelines.output.signing import Signer, write_manifest
from pipelines.output.stall_watchdog import watchdog_for
from pipelines.packing.pack_options import PackOptions
from pipelines.packing.shard_writer import SHARDS, PackedItem, Packer, read_packed, shards
from pipelines.runners.beam_options import job_options
from pipelines.runners.interruption import resumable
from pipelines.runners.runner_state import runner_state
from pipelines.statistics.item_statistics import count_failure_codes
from schemas import failure, manifest
from schemas.errors import UserError, counted
from schemas.failure import Failure
from schemas.layout import STATISTICS, statistics_name
from schemas.manifest import Part
from schemas.packed import PackManifest

FAILURES = "failures.csv"
"""The images that could not be read, in the output folder."""

_LIBRARIES = ("digitmill", "apache-beam", "numpy")


@dataclasses.dataclass(frozen=True)
class PackSummary:
    """The result of a finished pack."""

    output: OutputFolder
    manifest: PackManifest

    @property
    def _shards(self) -> list[Part]:
        return [part for part in self.manifest.parts if fnmatch.fnmatchcase(part.name, SHARDS)]

    def as_data(self) -> dict[str, Any]:
        """Return the manifest as JSON types, with the place of the output."""
        return {"output": self.output.place, **json.loads(self.manifest.to_json())}

    def table(self) -> str:
        """Return a table to print, one fact a line."""
        codes = [f"{code} {count:,}" for code, count in self.manifest.failures.items() if count]
        rows = {
            "images": f"{self.manifest.listed:,}",
            "packed": f"{self.manifest.packed:,} ({self.manifest.labeled:,} with a label)",
            "failed": f"{self.manifest.failed:,}" + (f" ({', '.join(codes)})" if codes else ""),
            "ignored": f"{self.manifest.ignored:,}" if self.manifest.ignored else None,
            "vanished": counted(self.manifest.vanished, "folder") if self.manifest.vanished else None,
            "shards": f"{len(self._shards):,}: {self.output.at(SHARDS)}",
            "manifest": self.output.at(manifest.FILE),
        }
        width = max(map(len, rows))
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items() if value is not None)


def run(options: PackOptions) -> PackSummary:
    """Pack the inputs and write shards, failures and, last, the manifest.

    Raises:
        UserError: when an option cannot be used; nothing is written.
        StoppedError: when the run was interrupted or its storage failed; it can be resumed.
        UnreconciledError: when a listed image is neither packed nor failed; no manifest is written.
    """
    # 1. Check everything before an image is read or a file written.
    started = datetime.datetime.now(datetime.UTC)
    signer = Signer.load(options.sign)
    pipeline_options = job_options(options.beam_flags, inputs=options.inputs, output=options.output)
    output = open_folder(options.output)
    _check_output(output, options)
    check_output_outside_inputs(options.inputs, output.place)
    with resumable(options.command(resume=True)), output.hold() as hold:
        # Check again: another launcher may have started or finished in between.
        finished = _check_output(output, options)
        if finished is None:
            finished = _pack(
                options, output, hold, started=started, pipeline_options=pipeline_options, signer=signer
            )
        elif signer is not None:
            signer.check(output)
    return PackSummary(output, finished)


def _check_output(output: OutputFolder, options: PackOptions) -> PackManifest | None:
    """Return the manifest of a pack that has finished; None if there is something to do.

    Raises:
        UserError: when the output holds anything but this pack, or `resume` is not set.
    """
    if not has_begun(output, run_config.FILE, resume=options.resume):
        return None
    if output.read(run_config.FILE).decode() != options.run_config():
        raise UserError(
            "cannot resume: the options differ from those that the pack was started with",
            value=output.place,
            hint=f"repeat the options in {output.at(run_config.FILE)}, or name a new folder",
        )
    if not output.exists(manifest.FILE):
        return None
    return PackManifest.from_json(output.read(manifest.FILE).decode())


def _pack(
    options: PackOptions,
    output: OutputFolder,
    hold: Hold,
    *,
    started: datetime.datetime,
    pipeline_options: PipelineOptions,
    signer: Signer | None,
) -> PackManifest:
    # 2. List the images. Their number is the denominator of all later counts.
    survey = Survey(Selection(options.include, options.exclude), strict=options.strict_listing)
    images = list_images(options.inputs, survey=survey)
    if options.labels is not None:
        images = _by_file(attach_labels(images, options.labels, unreadable=True), options.labels)
    listed = list(show_listing(images))
    if options.shuffle:
        random.Random(options.seed).shuffle(listed)
    items = list(shards(listed, shard_bytes=options.shard_megabytes * 1e6))
    output.write_once(run_config.FILE, options.run_config().encode())

    # 3. Pack. Each work item writes its shard, then its record.
    began = time.monotonic()
    watchdog = watchdog_for(runner_state(pipeline_options), options.stall_timeout)
    waiting = [FrozenItem("", 0, item.digest, len(item.images), may_be_archive=False) for item in items]
    with Progress(output, waiting, verb="packing", watchdog=watchdog):
        _run_pipeline(items, output=output, options=pipeline_options)
    seconds = time.monotonic() - began

    # 4. Reconcile from the records; then write failures and, last, the manifest that completes it.
    done = [read_packed(item, output) for item in items]
    failures = [failed for item in done for failed in item.failures]
    config = Part.of(run_config.FILE, output.read(run_config.FILE))
    hold.confirm()
    parts = (
        *(part for item in done for part in item.parts),
        _write_failures(output, failures, options.inputs),
        config,
    )
    finished = _manifest(options, done, parts, survey=survey, started=started, seconds=seconds)
    _remove_strays(output, items, parts, hold)
    hold.confirm()
    write_manifest(output, finished.to_json().encode(), signer)
    return finished


def _by_file(images: Iterable[ListedImage], labels: str) -> Iterator[ListedImage]:
    """Yield the images; raise UserError for one whose pages have labels: a record has one label."""
    for image in images:
        if image.page_labels:
            raise UserError(
                "cannot pack the labels of single pages",
                value=image.uri,
                hint=f"leave its pages out of {labels}, or save each page as a file",
            )
        yield image


def _remove_strays(
    output: OutputFolder, items: Sequence[WorkItem], parts: Sequence[Part], hold: Hold
) -> None:
    """Remove shards and records that do not count.

    They belong to work items that are gone because the input changed before a resume, or to an attempt whose
    record came second. Users read shards as `packed/*.tfrecord`, so every one must be in the manifest.
    """
    kept = {part.name for part in parts} | {statistics_name(item.digest) for item in items}
    packed_here = {name for name in output.walk() if fnmatch.fnmatchcase(name, SHARDS)}
    recorded = {f"{STATISTICS}/{name}" for name in output.names(STATISTICS)}
    for name in (packed_here | recorded) - kept:
        hold.confirm()
        output.delete(name)
    remove_temporary_files(output, ("", STATISTICS), confirm=hold.confirm)


class PackWorkItem(beam.DoFn):
    """Packed work items (`bytes`) to the digests of those whose shards are written (`str`)."""

    def __init__(self, output: str) -> None:
        super().__init__()
        self._output = output

    def setup(self) -> None:
        """Open storage, once per worker."""
        self._reader = ImageReader()
        self._packer = Packer(self._reader, open_folder(self._output))

    def process(self, packed: bytes) -> Iterator[str]:
        """Write one shard."""
        yield self._packer.run(WorkItem.from_bytes(packed)).digest

    def teardown(self) -> None:
        """Stop the reader's threads."""
        self._reader.close()


def _run_pipeline(items: Sequence[WorkItem], *, output: OutputFolder, options: PipelineOptions) -> None:
    with beam.Pipeline(options=options) as pipeline:
        _ = (
            pipeline
            | "WorkItems" >> beam.Create([item.to_bytes() for item in items])
            # Without a Reshuffle, Beam fuses all items with their creation and keeps them on one worker.
            | "Spread" >> beam.Reshuffle()
            | "Pack" >> beam.ParDo(PackWorkItem(output.place))
        )


def _write_failures(output: OutputFolder, failures: Sequence[Failure], inputs: Sequence[str]) -> Part:
    header = tuple(described.name for described in failure.COLUMNS)
    data = encode_csv([header, *RelativeNames(recorded_inputs(inputs)).failure_rows(failures)])
    output.replace(FAILURES, data)
    return Part.of(FAILURES, data, rows=len(failures))


def _manifest(
    options: PackOptions,
    done: Sequence[PackedItem],
    parts: Sequence[Part],
    *,
    survey: Survey,
    started: datetime.datetime,
    seconds: float,
) -> PackManifest:
    failures = [failed for item in done for failed in item.failures]
    return PackManifest(
        listed=sum(item.listed for item in done),
        packed=sum(item.packed for item in done),
        failed=len(failures),
        labeled=sum(item.labeled for item in done),
        failures=count_failure_codes(failures),
        inputs=tuple(map(printable, options.inputs)),
        options=options.recorded(Effect.RESULT),
        versions={library: importlib.metadata.version(library) for library in _LIBRARIES},
        times={
            "started": started.isoformat(timespec="seconds"),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "pipeline_seconds": round(seconds, 3),
        },
        parts=tuple(sorted(parts, key=lambda part: part.name)),
        ignored=survey.ignored,
        vanished=survey.vanished,
    )
