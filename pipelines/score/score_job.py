"""The scoring run from its options to its manifest."""

import contextlib
import dataclasses
import datetime
import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.shared import Shared

from digitmill.commands import Effect, run_config
from digitmill.engines.bundle_loader import Bundle
from digitmill.storage import OutputFolder, open_folder
from digitmill.storage.interface import Hold
from digitmill.storage.local_output import LocalFolder
from digitmill.storage.names import printable
from pipelines.history import incremental
from pipelines.history.incremental_join import JoinTask, SkipScored
from pipelines.history.past_runs import PastRun, open_past_runs
from pipelines.listing.frozen_listing import FrozenItem, ListingIndex, freeze_listing, read_index
from pipelines.listing.input_listing import (
    Listing,
    check_output_outside_inputs,
    list_images,
    list_with_ranges,
    read_input_list,
    stable_sample,
)
from pipelines.listing.true_labels import FOLDER, attach_labels
from pipelines.output import output_run
from pipelines.output.finishing import (
    begin_time,
    challenger_fields,
    describe_model,
    finish_run,
    library_versions,
    make_manifest,
    run_times,
)
from pipelines.output.planning import accept_threshold, make_plan
from pipelines.output.reconcile import Reconciliation, reconcile, remove_unreferenced
from pipelines.output.run_progress import Progress, show_listing
from pipelines.output.summary import Summary
from pipelines.report.rebuilding import find_baselines
from pipelines.runners import dataflow
from pipelines.runners.beam_options import beam_options, in_process
from pipelines.runners.cancellation import cancel_on_interrupt
from pipelines.runners.interruption import resumable
from pipelines.runners.runner_failure import explain_failures
from pipelines.score.transforms import ListRanges, ScoreImages
from pipelines.score_options import ScoreOptions
from pipelines.scoring import model_place
from pipelines.scoring.scoring_task import ScoringTask
from pipelines.workers.choice import processes_for, ready_pool
from pipelines.workers.early import EarlyStart
from pipelines.workers.pool import WorkerPool
from schemas import run_plan
from schemas.errors import UserError
from schemas.layout import STATISTICS, is_joined, is_listed, record_name
from schemas.manifest import Manifest
from schemas.run_plan import RunPlan


@dataclasses.dataclass(frozen=True)
class _Run:
    """A run that holds its output."""

    options: ScoreOptions
    plan: RunPlan
    task: ScoringTask
    output: OutputFolder


def run(options: ScoreOptions, pool: WorkerPool | None = None) -> Summary:
    """Scores the inputs and writes predictions, reports and, last, the manifest.

    Args:
        options: what is asked for.
        pool: worker processes that were started in good time, by whoever ends them.

    Raises:
        UserError: when an option cannot be used; nothing has been written then.
        StoppedError: when the run was told to stop, or its storage failed; it can be gone on with.
        UnreconciledError: when a listed image has no outcome; there is no manifest then.
    """
    # What can be refused is refused before an image is read or a file written.
    started = datetime.datetime.now(datetime.UTC)
    pipeline_options = beam_options(dataflow.complete_flags(options))
    if options.workers is not None and not in_process(pipeline_options):
        raise UserError(
            "--workers are processes of this machine, under the DirectRunner",
            value=options.workers,
            hint="leave it out, and give the runner's own flags, such as --num_workers or --parallelism",
        )
    output = open_folder(options.output)
    output_run.read_state(output, resume=options.resume)
    check_output_outside_inputs(options.inputs, output.place)
    with (
        model_place.open_bundles(options) as (bundle, challenger),
        resumable(options.command(resume=True)),
        output.hold() as hold,
    ):
        # Looked at again: another launcher may have begun, or finished, in between.
        standing = output_run.read_state(output, resume=options.resume)
        plan = make_plan(options, bundle, challenger, begun=standing.plan, output=output)
        finished = standing.finished
        if finished is None:
            models = dataflow.model_staging_folder(pipeline_options)
            task = _task(options, plan, bundle, challenger, output=output, models=models)
            held = _Run(options, plan, task, output)
            finished = _score(held, hold, started=started, pipeline_options=pipeline_options, pool=pool)
    return Summary(printable(options.output.rstrip("/")), finished)


def _score(
    run: _Run,
    hold: Hold,
    *,
    started: datetime.datetime,
    pipeline_options: PipelineOptions,
    pool: WorkerPool | None,
) -> Manifest:
    # 1. The listing is frozen: its count is the denominator of everything after. Processes that wait already
    # begin with what is listed: what they write is named by its content, and accounted for at the end.
    began = time.monotonic()
    past = open_past_runs(run.plan.past)
    done = run.output.names(STATISTICS)
    may_begin = not past and _may_begin(run, pipeline_options)
    early = EarlyStart(pool if may_begin else None, run.task, done=done)
    frozen = _freeze(run, past, hold, early)
    left = [item for item in frozen.items if frozen.buckets or record_name(item.digest) not in done]

    # 2. Score. Each work item writes its rows, and its statistics record last.
    known = [] if frozen.buckets else left
    with (
        _workers(run, frozen, left, pool=pool, options=pipeline_options) as scorers,
        explain_failures(run.output, known),
        Progress(run.output, known, adds_items=_adds_items(frozen), began=early.began),
    ):
        _run_pipeline(run, frozen, left, past=past, options=pipeline_options, scorers=scorers)
    if left or frozen.ranges or frozen.buckets:
        dataflow.exit_after_template(pipeline_options, run.options.command(resume=True))
    seconds = time.monotonic() - began

    # 3. Reconcile from the committed records, not from Beam's counters, which count retries too.
    account = reconcile(frozen, output=run.output, most=run.options.rows_per_part)
    remove_unreferenced(run.output, account)

    # 4. Reports, then the manifest: readers trust only an output that has one.
    new = sum(part.rows for part in account.records if part.name.rpartition("/")[2] not in done)
    spent = run_times(begin_time(run.output), started, seconds=seconds, images=new)
    baselines = find_baselines(run.task.bundle.card, past)
    return finish_run(
        run.output, _manifest(run, account, times=spent), account, hold=hold, baselines=baselines
    )


def _task(
    options: ScoreOptions,
    plan: RunPlan,
    bundle: Bundle,
    challenger: Bundle | None,
    *,
    output: OutputFolder,
    models: str | None,
) -> ScoringTask:
    if models is not None:
        model_place.stage_models((bundle, challenger), models)
    content = json.dumps([plan.model, plan.preprocessing, dict(plan.settings)], sort_keys=True)
    return ScoringTask(
        bundle=bundle,
        output=output.place,
        run=hashlib.sha256(content.encode()).hexdigest(),
        accept_threshold=accept_threshold(options, bundle),
        limits=options.limits,
        folder_labels=options.labels == FOLDER,
        rows_per_part=options.rows_per_part,
        compression=options.compression,
        challenger=challenger,
        models=models,
    )


def _may_begin(run: _Run, options: PipelineOptions) -> bool:
    """Whether worker processes may score while the launcher still lists.

    Not where another launcher could take over meanwhile and list anew, as in a bucket: what the first one's
    processes go on to write would be strays.
    """
    if not in_process(options) or not isinstance(run.output, LocalFolder):
        return False
    return processes_for(run.options.workers, engine=run.task.bundle.engine.kind, images=None, items=None) > 1


def _freeze(run: _Run, past: Sequence[PastRun], hold: Hold, early: EarlyStart) -> ListingIndex:
    """Returns what is listed: what an earlier launcher has frozen, or else what is there now."""
    frozen = read_index(run.output)
    if frozen is not None:
        return frozen
    listing = open_listing(run.options)
    listing.begin()
    # An earlier run knows about how many there will be.
    expected = max((earlier.manifest.counts.listed for earlier in past), default=None)
    listing.map(functools.partial(show_listing, expected=expected))
    new = not run.output.exists(run_plan.FILE)
    run.output.write_once(run_plan.FILE, run.plan.to_json().encode())
    run.output.write_once(run_config.FILE, run.options.run_config().encode())

    def buckets(images: int) -> int:
        known = (earlier.manifest.counts.listed for earlier in past)
        return incremental.bucket_count(max(images, *known)) if past else 0

    try:
        with early:
            return freeze_listing(
                listing,
                run.output,
                run=run.task.run,
                most=run.options.rows_per_part,
                buckets=buckets,
                confirm=hold.confirm,
                begin=early.begin,
            )
    except UserError:
        if new:
            output_run.remove_started_run(run.output)
        raise


def open_listing(options: ScoreOptions, *, spread: bool = True) -> Listing:
    """Returns the images that are to be scored, to be listed while they are asked for.

    Args:
        options: what is asked for.
        spread: whether workers may list what is left of a large folder.
    """
    # Side by side only where no other input could name the same image, and no file its label.
    alone = len(options.inputs) == 1 and options.input_list is None and options.labels in (None, FOLDER)
    if spread and alone and not options.limit and not options.sample:
        listing = list_with_ranges(options.inputs[0])
    else:
        named = read_input_list(options.input_list, options.limits) if options.input_list else []
        images = list_images(options.inputs, named)
        if options.sample:
            images = iter(stable_sample(images, options.sample))
        listing = Listing(images, limit=options.limit)
    if options.labels is None:
        return listing
    return listing.map(functools.partial(attach_labels, labels=options.labels))


@contextlib.contextmanager
def _workers(
    run: _Run,
    frozen: ListingIndex,
    left: Sequence[FrozenItem],
    *,
    pool: WorkerPool | None,
    options: PipelineOptions,
) -> Iterator[Shared]:
    """Context manager that gives what scores the work items: this process, or processes of their own."""
    shared = Shared()
    if not in_process(options):
        yield shared
        return
    open_ended = _adds_items(frozen) is not None
    count = processes_for(
        run.options.workers,
        engine=run.task.bundle.engine.kind,
        images=None if open_ended else sum(item.images for item in left),
        items=None if open_ended else len(left),
    )
    with ready_pool(count, run.task, early=pool) as ready:
        if ready is not None:
            shared.acquire(lambda: ready)
        yield shared


def _run_pipeline(
    run: _Run,
    frozen: ListingIndex,
    left: Sequence[FrozenItem],
    *,
    past: Sequence[PastRun],
    options: PipelineOptions,
    scorers: Shared,
) -> None:
    pipeline = beam.Pipeline(options=options)
    with cancel_on_interrupt(pipeline), pipeline:
        # The items are spread over the workers where they are scored, listed ones among them.
        items = pipeline | "WorkItems" >> beam.Create([item.ref for item in left], reshuffle=False)
        if frozen.ranges:
            listed = pipeline | "Ranges" >> beam.Create(frozen.ranges, reshuffle=False) | ListRanges(run.task)
            items = (items, listed) | beam.Flatten()
        if frozen.buckets:
            items = items | SkipScored(
                _join_task(run, frozen, past), list(incremental.past_listing_files(past))
            )
        _ = items | ScoreImages(run.task, scorers)


def _join_task(run: _Run, frozen: ListingIndex, past: Sequence[PastRun]) -> JoinTask:
    return JoinTask(
        output=run.task.output,
        run=run.task.run,
        buckets=frozen.buckets,
        runs=len(past),
        max_size=run.options.rows_per_part,
        retry_failures=run.options.retry_failures,
    )


def _adds_items(frozen: ListingIndex) -> Callable[[str], bool] | None:
    """Returns which listing files hold work items that the launcher does not know of."""
    if frozen.buckets:
        return is_joined
    return is_listed if frozen.ranges else None


def _manifest(run: _Run, account: Reconciliation, *, times: Mapping[str, str | float]) -> Manifest:
    options = run.options
    named = (*options.inputs, *([str(options.input_list)] if options.input_list else []))
    return make_manifest(
        account,
        lambda counts: counts.status(options.max_failure_rate),
        inputs=tuple(map(printable, named)),
        model=describe_model(run.task.bundle, options.model),
        options={
            **run.plan.settings,
            "engine_reason": run.task.bundle.engine.reason,
            **options.recorded(Effect.REPORT),
        },
        command=options.command(),
        **challenger_fields(run.task.challenger, options.challenger, statistics=account.statistics),
        versions=library_versions(run.task.bundle, run.task.challenger),
        times=times,
    )
