"""The scoring run from its options to its manifest."""

import dataclasses
import datetime
import hashlib
import importlib.metadata
import pathlib
import time
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from imaging.canonical import PREPROCESSING_VERSION
from pipelines.beam_options import beam_options
from pipelines.bundle import Bundle, open_bundle
from pipelines.labels import with_labels
from pipelines.listing import list_images
from pipelines.progress import Progress
from pipelines.reconcile import collect
from pipelines.report import write_reports
from pipelines.statistics import RunStatistics, count_codes
from pipelines.storage import replace
from pipelines.summary import Summary
from pipelines.transforms import ScoreImages
from pipelines.work_item import WorkItem, pack
from schemas import manifest
from schemas.errors import UserError
from schemas.failure import FailureCode
from schemas.manifest import Counts, Manifest

_LIBRARIES = ("digitmill", "apache-beam", "ai-edge-litert", "numpy", "opencv-python-headless")


@dataclasses.dataclass(frozen=True)
class ScoreOptions:
    """What a scoring run is asked to do.

    Attributes:
        inputs: folders, files or patterns.
        model: folder of the model bundle.
        output: folder for everything that the run writes.
        labels: `folder`, path of a CSV, or None where the true digits are unknown.
        accept_threshold: in [0, 1]; None for the model's own.
        beam_flags: flags for Beam, runner included.
    """

    inputs: tuple[str, ...]
    model: pathlib.Path
    output: pathlib.Path
    labels: str | None = None
    accept_threshold: float | None = None
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
    pipeline_options = beam_options(options.beam_flags)
    _check_output(options.output)
    bundle = open_bundle(options.model)
    threshold = bundle.card.accept_threshold if options.accept_threshold is None else options.accept_threshold

    # 2. The listing is frozen: its count is the denominator of everything after.
    images = list_images(options.inputs)
    if options.labels is not None:
        images = with_labels(images, options.labels)
    items = list(pack(images, _run_digest(bundle, threshold)))
    _make_output(options.output)

    # 3. Score. Each work item writes its rows once, its statistics record last.
    seconds = _run_pipeline(
        items, bundle, options=options, beam_options=pipeline_options, threshold=threshold
    )

    # 4. Reconcile from the committed records, not from Beam's counters, which count retries too.
    statistics = collect(items, options.output)

    # 5. Reports, then the manifest: readers trust only an output that has one.
    counts = Counts(len(images), statistics.scored, failed=len(statistics.failures), skipped=0)
    finished = _manifest(
        options, bundle, statistics, counts=counts, threshold=threshold, started=started, seconds=seconds
    )
    parts = (*finished.parts, *write_reports(options.output, statistics, finished))
    finished = dataclasses.replace(finished, parts=tuple(sorted(parts, key=lambda part: part.name)))
    replace(options.output / manifest.FILE, finished.to_json().encode())
    return Summary(options.output, finished)


def _check_output(output: pathlib.Path) -> None:
    if (output / manifest.FILE).exists():
        raise UserError(
            "an output folder holds one run",
            got=str(output),
            remedy="name a new folder or delete the finished run",
        )
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(
            "an output folder is new or empty",
            got=str(output),
            remedy="name another folder or empty this one",
        )


def _make_output(output: pathlib.Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            "the output folder can be made", got=str(output), remedy=f"choose another one: {error.strerror}"
        ) from error


def _run_digest(bundle: Bundle, threshold: float) -> str:
    """Returns the digest of all that a work item's rows depend on beside its images."""
    settings = f"{bundle.digest} {PREPROCESSING_VERSION} {threshold!r}"
    return hashlib.sha256(settings.encode()).hexdigest()


def _run_pipeline(
    items: Sequence[WorkItem],
    bundle: Bundle,
    *,
    options: ScoreOptions,
    beam_options: PipelineOptions,
    threshold: float,
) -> float:
    """Runs the Beam pipeline and returns its seconds."""
    output = options.output.absolute()
    started = time.monotonic()
    with Progress(output, items), beam.Pipeline(options=beam_options) as pipeline:
        _ = (
            pipeline
            | "WorkItems" >> beam.Create([item.to_bytes() for item in items])
            | ScoreImages(bundle, output=output, accept_threshold=threshold)
        )
    return time.monotonic() - started


def _manifest(
    options: ScoreOptions,
    bundle: Bundle,
    statistics: RunStatistics,
    *,
    counts: Counts,
    threshold: float,
    started: datetime.datetime,
    seconds: float,
) -> Manifest:
    return Manifest(
        counts=counts,
        failures=count_codes(statistics.failures, FailureCode),
        labelled=statistics.labelled,
        right=statistics.right,
        accepted=statistics.accepted,
        inputs=options.inputs,
        model={"path": str(options.model), "digest": bundle.digest, "recipe": bundle.card.recipe},
        options={"labels": options.labels, "accept_threshold": threshold},
        versions={"preprocessing": PREPROCESSING_VERSION}
        | {library: importlib.metadata.version(library) for library in _LIBRARIES},
        times={
            "started": started.isoformat(timespec="seconds"),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "pipeline_seconds": round(seconds, 3),
        },
        parts=statistics.parts,
    )
