"""The scoring run from its options to its manifest."""

import dataclasses
import datetime
import hashlib
import pathlib
import time
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from imaging.canonical import PREPROCESSING_VERSION
from pipelines.beam_options import beam_options
from pipelines.bundle import Bundle, open_bundle
from pipelines.engine_choice import EngineKind
from pipelines.frozen_listing import ItemRef, freeze
from pipelines.labels import FOLDER, with_labels
from pipelines.listing import (
    Listing,
    RemoteRange,
    begin_listing,
    list_images,
    read_input_list,
    refuse_output_below,
)
from pipelines.names import printable
from pipelines.progress import Progress
from pipelines.provenance import challenged, described, versions
from pipelines.read_limits import ReadLimits
from pipelines.reconcile import collect
from pipelines.report import write_reports
from pipelines.statistics import RunStatistics, count_codes
from pipelines.storage import OutputFolder, open_folder
from pipelines.summary import Summary
from pipelines.transforms import ListRanges, ScoreImages, ScoringTask
from pipelines.work_item import pack, separate_archives
from schemas import manifest
from schemas.failure import FailureCode
from schemas.manifest import Counts, Manifest

# The verb's own flags, where one is misspelt.
_FLAGS = (
    "--input",
    "--input-list",
    "--model",
    "--output",
    "--labels",
    "--accept-threshold",
    "--engine",
    "--challenger",
    "--connections",
    "--max-requests-per-second",
)


@dataclasses.dataclass(frozen=True)
class ScoreOptions:
    """What a scoring run is asked to do.

    Attributes:
        inputs: folders, files or patterns, local or in a bucket.
        model: folder of the model bundle.
        output: folder for everything that the run writes, local or in a `gs://` bucket.
        input_list: a file that names images one by one, or None.
        labels: `folder`, path of a CSV, or None where the true digits are unknown.
        accept_threshold: in [0, 1]; None for the model's own.
        engine: `auto`, `litert` or `saved_model`.
        challenger: folder of the bundle of a second model, or None.
        limits: how hard a worker may lean on an object store.
        beam_flags: flags for Beam, runner included.
    """

    inputs: tuple[str, ...]
    model: pathlib.Path
    output: str
    input_list: pathlib.Path | None = None
    labels: str | None = None
    accept_threshold: float | None = None
    engine: str = EngineKind.AUTO
    challenger: pathlib.Path | None = None
    limits: ReadLimits = ReadLimits()  # noqa: RUF009 - frozen
    beam_flags: tuple[str, ...] = ()


def run(options: ScoreOptions) -> Summary:
    """Scores the inputs and writes predictions, reports and, last, the manifest.

    Raises:
        UserError: when an option cannot be used; nothing has been written then.
        UnreconciledError: when a listed image has no outcome; there is no manifest then.
    """
    # What can be refused is refused before an image is read or a file written.
    # 1. Flags, output, model.
    started = datetime.datetime.now(datetime.UTC)
    pipeline_options = beam_options(options.beam_flags, verb="score", own=_FLAGS)
    output = open_folder(options.output)
    output.check(manifest.FILE)
    refuse_output_below(options.inputs, output.place)
    bundle = open_bundle(options.model, options.engine)
    task = _task(options, bundle, output)

    # 2. The listing is frozen: its count is the denominator of everything after.
    listing = _list(options)
    items = list(pack(listing.images, task.run))
    output.claim()
    refs = list(freeze(items, output))
    items = list(separate_archives(items))

    # 3. Score. Each work item writes its rows once, its statistics record last.
    began = time.monotonic()
    with Progress(output, items, listing.ranges):
        _run_pipeline(refs, listing.ranges, task=task, options=pipeline_options)
    seconds = time.monotonic() - began

    # 4. Reconcile from the committed records, not from Beam's counters, which count retries too.
    statistics = collect(items, listing.ranges, output=output)

    # 5. Reports, then the manifest: readers trust only an output that has one.
    finished = _manifest(options, task, statistics, started=started, seconds=seconds)
    parts = (*finished.parts, *write_reports(output, statistics, finished))
    finished = dataclasses.replace(finished, parts=tuple(sorted(parts, key=lambda part: part.name)))
    output.replace(manifest.FILE, finished.to_json().encode())
    return Summary(printable(options.output.rstrip("/")), finished)


def _task(options: ScoreOptions, bundle: Bundle, output: OutputFolder) -> ScoringTask:
    asked = options.accept_threshold
    threshold = bundle.card.accept_threshold if asked is None else asked
    challenger = open_bundle(options.challenger, options.engine) if options.challenger else None
    models = [f"{model.digest} {model.engine.kind}" for model in (bundle, challenger) if model]
    settings = f"{' '.join(models)} {PREPROCESSING_VERSION} {threshold!r}"
    return ScoringTask(
        bundle=bundle,
        output=output.place,
        run=hashlib.sha256(settings.encode()).hexdigest(),
        accept_threshold=threshold,
        limits=options.limits,
        folder_labels=options.labels == FOLDER,
        challenger=challenger,
    )


def _list(options: ScoreOptions) -> Listing:
    # Side by side only where no other input could name the same image, and no file its label.
    if len(options.inputs) == 1 and options.input_list is None and options.labels in (None, FOLDER):
        listing = begin_listing(options.inputs[0])
    else:
        named = read_input_list(options.input_list, options.limits) if options.input_list is not None else []
        found = {image.uri: image for image in named} | {i.uri: i for i in list_images(options.inputs)}
        listing = Listing(sorted(found.values()))
    if options.labels is None:
        return listing
    return dataclasses.replace(listing, images=with_labels(listing.images, options.labels))


def _run_pipeline(
    refs: Sequence[ItemRef],
    ranges: Sequence[RemoteRange],
    *,
    task: ScoringTask,
    options: PipelineOptions,
) -> None:
    with beam.Pipeline(options=options) as pipeline:
        items = pipeline | "WorkItems" >> beam.Create(refs)
        if ranges:
            listed = pipeline | "Ranges" >> beam.Create(ranges) | ListRanges(task)
            items = (items, listed) | beam.Flatten()
        _ = items | ScoreImages(task)


def _manifest(
    options: ScoreOptions,
    task: ScoringTask,
    statistics: RunStatistics,
    *,
    started: datetime.datetime,
    seconds: float,
) -> Manifest:
    failed = len(statistics.failures)
    return Manifest(
        counts=Counts(statistics.listed, statistics.scored, failed=failed, skipped=0),
        failures=count_codes(statistics.failures, FailureCode),
        labelled=statistics.labelled,
        right=statistics.right,
        accepted=statistics.accepted,
        inputs=tuple(
            map(printable, (*options.inputs, *([str(options.input_list)] if options.input_list else [])))
        ),
        model=described(task.bundle, options.model),
        options={
            "labels": options.labels and printable(options.labels),
            "accept_threshold": task.accept_threshold,
            "engine": task.bundle.engine.kind,
            "engine_reason": task.bundle.engine.reason,
        },
        **challenged(task.challenger, options.challenger, statistics=statistics),
        versions=versions(task.bundle, task.challenger),
        times={
            "started": started.isoformat(timespec="seconds"),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "pipeline_seconds": round(seconds, 3),
        },
        parts=statistics.parts,
    )
