"""The dry run: lists and counts the inputs, estimates requests and time, and writes nothing."""

import dataclasses
import heapq
import math
import os
import pathlib
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator
from typing import Final

import apache_beam as beam

from digitmill.engines.bundle_loader import Bundle
from digitmill.machine import rare_collections
from digitmill.storage import ImageReader, OutputFolder, open_folder, pipes_kept
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.local_output import LocalFolder
from digitmill.storage.names import may_be_archive
from pipelines.history import incremental
from pipelines.history.block_shuffle import Spill, shared_spill
from pipelines.history.incremental_join import JoinTask, SkipScored
from pipelines.history.past_runs import open_past_runs
from pipelines.listing.frozen_listing import freeze_listing
from pipelines.listing.input_listing import Listing, check_output_outside_inputs
from pipelines.output.planning import accept_threshold, field_rules, make_plan
from pipelines.runners.beam_options import beam_options, job_options
from pipelines.score.run_listing import open_listing
from pipelines.score_options import ScoreOptions
from pipelines.scoring import model_place
from pipelines.scoring.classify import load_classifier
from pipelines.scoring.page_members import PagedContents
from pipelines.scoring.scored_batch import ScoredBatch
from schemas.layout import is_listed
from schemas.run_plan import RunPlan

SAMPLE: Final = 512
"""Number of images to read and score, in order to measure the time per image."""

_PAGE: Final = 1000
"""Names per listing request of an object store."""

_NO_OUTPUT: Final = f"{os.devnull}/none"
"""A folder that does not exist and is in no input; nothing is written to it."""

_WRITES: Final = 5
"""Requests per work item's files: listing, predictions twice, record, and a check for the record."""


@dataclasses.dataclass
class Tally:
    """Counts of listed images and a sample of them; an archive counts as one image.

    Attributes:
        remote: number of files that take one read request each.
        sample: a reproducible random sample of images, with their ranks.
    """

    files: int = 0
    archives: int = 0
    bytes: int = 0
    remote: int = 0
    sample: list[tuple[int, ListedImage]] = dataclasses.field(default_factory=list)

    def count(self, images: Iterable[ListedImage]) -> Iterator[ListedImage]:
        """Count images and yield them unchanged."""
        for image in images:
            self.files += 1
            self.bytes += max(0, image.size)
            self.remote += not image.uri.startswith("file:")
            if may_be_archive(image.uri):
                self.archives += 1
            else:
                self._draw(image)
            yield image

    def _draw(self, image: ListedImage) -> None:
        ranked = (-zlib.crc32(image.uri.encode()), image)
        if len(self.sample) < SAMPLE:
            heapq.heappush(self.sample, ranked)
        else:
            heapq.heappushpop(self.sample, ranked)


@dataclasses.dataclass(frozen=True)
class Preview:
    """Estimated figures of a run that has not started.

    Attributes:
        requests: number of requests to object stores, for listing, reading and writing.
        seconds: time that one worker needed for the sample.
    """

    listed: int
    todo: Tally
    items: int
    requests: int
    sampled: int
    failed: int
    seconds: float
    ignored: int

    def as_data(self) -> dict[str, int | float]:
        """Return the figures as JSON types."""
        todo = self.todo
        return {
            "listed": self.listed,
            "ignored": self.ignored,
            "to_score": todo.files,
            "archives": todo.archives,
            "bytes": todo.bytes,
            "requests": self.requests,
            "work_items": self.items,
            "sampled": self.sampled,
            "sample_failed": self.failed,
            "sample_seconds": self.seconds,
        }

    def table(self) -> str:
        """Return the lines to print, one fact each."""
        todo, skipped = self.todo, self.listed - self.todo.files
        archives = f", {todo.archives:,} archives counted as one each" if todo.archives else ""
        rows = {
            "files": f"{self.listed:,}{archives}",
            "to score": f"{todo.files:,}" + (f" ({skipped:,} in an earlier run)" if skipped else ""),
            **({"ignored": f"{self.ignored:,}"} if self.ignored else {}),
            "bytes": f"{todo.bytes:,}",
            "requests": f"{self.requests:,}",
            "work items": f"{self.items:,}",
            "time": self._time(),
            "sample": f"{self.sampled:,} scored just now, {self.failed:,} of them failed",
        }
        width = max(map(len, rows))
        lines = [f"{name:<{width}}  {value}" for name, value in rows.items()]
        return "\n".join([*lines, "nothing was written"])

    def _time(self) -> str:
        if not self.sampled:
            return "unknown: there is nothing to try it on"
        seconds = self.seconds / self.sampled * self.todo.files
        rate = self.sampled / self.seconds
        return f"about {_duration(seconds)} for one worker, {rate:,.0f} images/s, and its start"


@pipes_kept()
def preview(options: ScoreOptions) -> Preview:
    """Estimate a run from its options; list its inputs, and score a sample of them in memory.

    Raises:
        UserError: for the same reasons as the run.
    """
    job_options(options.beam_flags, inputs=options.inputs, output=options.output)
    return _preview(options, *model_place.open_bundles(options))


def _preview(options: ScoreOptions, bundle: Bundle, challenger: Bundle | None) -> Preview:
    output = open_folder(options.output or _NO_OUTPUT)
    check_output_outside_inputs(options.inputs, output.place)
    plan = make_plan(options, bundle, challenger, begun=None, output=output)
    field_rules(options, plan)
    with tempfile.TemporaryDirectory(prefix="digitmill-") as folder:
        scratch = LocalFolder(pathlib.Path(folder))
        listing, listed = open_listing(options, spread=False), Tally()
        frozen = freeze_listing(Listing(listed.count(listing)), scratch, run="", most=options.rows_per_part)
        todo, items = listed, sum(1 for _ in frozen)
        if plan.past:
            todo = _left(options, plan, scratch, listed.files)
            items = math.ceil(todo.files / options.rows_per_part)
    sample = [image for _, image in todo.sample]
    failed, seconds = _try(options, bundle, challenger, images=sample) if sample else (0, 0.0)
    return Preview(
        listed=listed.files,
        todo=todo,
        items=items,
        requests=_requests(listed, todo, items, output),
        sampled=len(todo.sample),
        failed=failed,
        seconds=seconds,
        ignored=listing.survey.ignored,
    )


def _left(options: ScoreOptions, plan: RunPlan, scratch: OutputFolder, listed: int) -> Tally:
    """Return the tally of images that earlier runs leave to score, using the run's own join."""
    past = open_past_runs(plan.past)
    buckets = incremental.bucket_count(max(listed, *(run.manifest.counts.listed for run in past)))
    task = JoinTask(
        output=scratch.place,
        run="",
        buckets=buckets,
        runs=len(past),
        max_size=options.rows_per_part,
        retry_failures=options.retry_failures,
    )
    files = sorted(name for name in scratch.walk() if is_listed(name))
    spill = Spill(buckets)
    with rare_collections(), beam.Pipeline(options=beam_options(())) as pipeline:
        _ = (
            pipeline
            | beam.Create([(name, 0) for name in files])
            | SkipScored(task, list(incremental.past_listing_files(past)), shared_spill(spill))
        )
    left = Tally()
    for number in range(buckets):
        for _ in left.count(incremental.read_bucket(scratch, number).todo):
            pass
    return left


def _try(
    options: ScoreOptions, bundle: Bundle, challenger: Bundle | None, *, images: list[ListedImage]
) -> tuple[int, float]:
    """Score images in memory; return how many failed, and the seconds of the second pass."""
    with ImageReader(options.limits) as reader:
        classifier = load_classifier(
            bundle, accept_threshold=accept_threshold(options, bundle), challenger=challenger
        )
        images = sorted(images)

        def score(some: list[ListedImage]) -> ScoredBatch:
            contents = zip(some, reader.read(some), strict=True)
            return classifier.classify(PagedContents(contents, options.pages))

        # Warm up on a few images: connections and the engine take time to start.
        score(images[:16])
        began = time.perf_counter()
        scored = score(images)
        return len(scored.failures), time.perf_counter() - began


def _requests(listed: Tally, todo: Tally, items: int, output: OutputFolder) -> int:
    pages = math.ceil(listed.remote / _PAGE)
    return pages + todo.remote + (_WRITES * items if "://" in output.place else 0)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
