"""A scoring run, from its options to its manifest."""

import collections
import contextlib
import dataclasses
import datetime
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.shared import Shared

from digitmill.commands import Effect
from digitmill.engines.bundle_loader import Bundle
from digitmill.machine import rare_collections
from digitmill.storage import OutputFolder, open_folder, pipes_kept
from digitmill.storage.interface import Hold
from digitmill.storage.local_output import LocalFolder
from digitmill.storage.names import printable
from digitmill.storage.read_limits import ReadLimits
from pipelines.fields.run_fields import FieldRules, RunFields
from pipelines.history import incremental
from pipelines.history.block_shuffle import Spill, shared_spill
from pipelines.history.incremental_join import JoinTask, SkipScored
from pipelines.history.past_audits import audits_of
from pipelines.history.past_runs import PastRun, open_past_runs
from pipelines.listing.frozen_listing import FrozenItem, ItemRef, ListingIndex, read_index
from pipelines.listing.input_listing import check_output_outside_inputs
from pipelines.listing.relative_names import RelativeNames
from pipelines.listing.true_labels import FOLDER
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
from pipelines.output.planning import accept_threshold, check_same_reports, field_rules, make_plan
from pipelines.output.reconcile import Reconciliation, reconcile, remove_unreferenced
from pipelines.output.run_progress import Progress
from pipelines.output.signing import Signer
from pipelines.output.stall_watchdog import watchdog_for
from pipelines.output.summary import Summary
from pipelines.report.rebuilding import find_baselines
from pipelines.runners import dataflow
from pipelines.runners.beam_options import (
    in_main_thread,
    in_process,
    job_options,
    runs_once_in_process,
    worker_processes,
)
from pipelines.runners.cancellation import cancel_on_interrupt
from pipelines.runners.interruption import resumable
from pipelines.runners.runner_failure import explain_failures
from pipelines.runners.runner_state import runner_state
from pipelines.score.run_listing import begin_run
from pipelines.score.transforms import ListInputs, ScoreImages, list_ranges
from pipelines.score_options import ScoreOptions
from pipelines.scoring import model_place
from pipelines.scoring.scoring_task import ScoringTask
from pipelines.workers.choice import known_images, may_compare, processes_for, ready_pool
from pipelines.workers.pool import WorkerPool
from schemas.errors import UserError
from schemas.layout import STATISTICS, is_joined, is_listed, record_name
from schemas.manifest import Manifest
from schemas.run_plan import RunPlan


@dataclasses.dataclass(frozen=True)
class _Run:
    """A run that holds its output.

    Attributes:
        pool: worker processes that were started early; None if there are none.
        past: earlier runs whose images are skipped.
        done: names of the statistics records that existed at the start.
        signer: the key that signs the manifest; None for an unsigned manifest.
        fields: rules that group images into fields; None for a run without fields.
    """

    options: ScoreOptions
    pipeline_options: PipelineOptions
    plan: RunPlan
    task: ScoringTask
    output: OutputFolder
    hold: Hold
    pool: WorkerPool | None
    past: Sequence[PastRun]
    done: Set[str]
    signer: Signer | None
    fields: FieldRules | None


@pipes_kept()
def run(options: ScoreOptions, pool: WorkerPool | None = None, *, signer: Signer | None = None) -> Summary:
    """Score the inputs and write predictions, reports and, last, the manifest.

    The caller may pass worker processes that it started for many images, and closes the pool afterwards. It
    must load the `signer` before it starts the processes, so that they do not inherit its pass phrase. A run
    of many images takes the fastest engine of this machine.

    Raises:
        UserError: when an option cannot be used; nothing is written then.
        StoppedError: when the run was stopped or its storage failed; it can be resumed.
        UnreconciledError: when a listed image has no outcome; no manifest is written then.
    """
    # Check everything that can be checked before reading an image or writing a file.
    started = datetime.datetime.now(datetime.UTC)
    signer = signer or Signer.load(options.sign)
    pipeline_options = job_options(options.beam_flags, inputs=options.inputs, output=options.output)
    if options.workers is not None and not in_process(pipeline_options):
        raise UserError(
            "--workers works with the DirectRunner only",
            value=options.workers,
            hint="leave it out, and use the runner's own flags, such as --num_workers or --parallelism",
        )
    output = open_folder(options.output, retry_seconds=options.retry_deadline)
    begun = output_run.read_state(output, resume=options.resume).plan
    check_output_outside_inputs(options.inputs, output.place)
    compare = begun is None and may_compare(options, pool)
    images = known_images(options) if compare else None
    bundle, challenger = model_place.open_bundles(options, begun=begun, compare=compare, images=images)
    with (
        resumable(options.command(resume=True)),
        output.hold() as hold,
    ):
        # Read again: another launcher may have started or finished in between.
        standing = output_run.read_state(output, resume=options.resume)
        plan = make_plan(options, bundle, challenger, begun=standing.plan, output=output)
        rules = field_rules(options, plan)
        finished, was_finished = standing.finished, standing.finished is not None
        if finished is None:
            limits = dataclasses.replace(options.limits, processes=worker_processes(pipeline_options))
            task = _task(options, plan, bundle, challenger, output=output, limits=limits)
            past, done = open_past_runs(plan.past), output.names(STATISTICS)
            _ = audits_of(past)  # a damaged audit would otherwise stop the run at its very end
            held = _Run(options, pipeline_options, plan, task, output, hold, pool, past, done, signer, rules)
            finished = _score(held, started)
        else:
            check_same_reports(options, finished, output)
            if signer is not None:
                signer.check(output)
    return Summary(printable(options.output.rstrip("/")), finished, was_finished)


def _score(run: _Run, started: datetime.datetime) -> Manifest:
    # 1. Freeze the listing, whose count everything later must match. Score in the same pipeline, or in a
    # second one that starts from the frozen listing. Each work item writes its statistics record last.
    began = time.monotonic()
    frozen = read_index(run.output)
    if frozen is None and _may_score_while_listing(run):
        frozen = _score_while_listing(run)
    else:
        frozen = frozen or _list(run)
        _score_frozen(run, frozen)
    seconds = time.monotonic() - began
    run.hold.confirm()

    # 2. Reconcile from the written records, not from Beam's counters, which include retries.
    account = reconcile(frozen, output=run.output, most=run.options.rows_per_part)
    remove_unreferenced(run.output, account, confirm=run.hold.confirm)

    # 3. Reports, then the manifest: readers trust only an output that has one.
    new = sum(part.rows for part in account.records if part.name.rpartition("/")[2] not in run.done)
    spent = run_times(begin_time(run.output), started, seconds=seconds, images=new)
    baselines = find_baselines(run.task.bundle.card, run.past)
    draft = _manifest(run, account, times=spent)
    return finish_run(
        run.output,
        draft,
        account,
        hold=run.hold,
        baselines=baselines,
        signer=run.signer,
        fields=_fields(run, account),
        gates=run.options.gates,
    )


def _fields(run: _Run, account: Reconciliation) -> RunFields | None:
    names = (part.name for part in account.listing)
    return run.fields.fields(run.output, names, run.past) if run.fields else None


def _task(
    options: ScoreOptions,
    plan: RunPlan,
    bundle: Bundle,
    challenger: Bundle | None,
    *,
    output: OutputFolder,
    limits: ReadLimits,
) -> ScoringTask:
    content = json.dumps([plan.model, plan.preprocessing, dict(plan.settings)], sort_keys=True)
    return ScoringTask(
        bundle=bundle,
        output=output.place,
        run=hashlib.sha256(content.encode()).hexdigest(),
        accept_threshold=accept_threshold(options, bundle),
        limits=limits,
        folder_labels=options.labels == FOLDER,
        pages=options.pages,
        rows_per_part=options.rows_per_part,
        compression=options.compression,
        formats=options.formats,
        challenger=challenger,
        extra=options.extra,
        names=RelativeNames.of(plan.inputs, plan.settings),
        audit=options.audit,
    )


def _task_for_workers(run: _Run) -> ScoringTask:
    """Return the scoring task; workers outside this process read models staged in the output."""
    if in_process(run.pipeline_options):
        return run.task
    task = run.task
    challenger = model_place.stage_bundle(task.challenger, run.output) if task.challenger else None
    staged = model_place.stage_bundle(task.bundle, run.output)
    return dataclasses.replace(task, bundle=staged, challenger=challenger)


def _list(run: _Run) -> ListingIndex:
    listing = begin_run(run.options, run.plan, run.output, run=run.task.run, past=run.past, hold=run.hold)
    with listing.errors():
        collections.deque(listing, maxlen=0)
    return listing.index()


def _may_score_while_listing(run: _Run) -> bool:
    """Whether worker processes may score while the launcher still lists.

    False for an output in a bucket, because another launcher could take over and list again, while processes
    of the first one still write files. False if Beam works in another thread, which Ctrl-C cannot reach.
    """
    if run.pool is None or run.past or not isinstance(run.output, LocalFolder):
        return False
    engine = run.task.bundle.engine.kind
    processes = processes_for(run.options.workers, engine=engine, images=None, items=None)
    return processes > 1 and in_main_thread(run.pipeline_options)


def _score_while_listing(run: _Run) -> ListingIndex:
    """List and score in one stage of a pipeline: worker processes get each work item as it is listed."""
    assert run.pool is not None
    run.pool.assign(run.task)
    listing = begin_run(run.options, run.plan, run.output, run=run.task.run, hold=run.hold, spread=False)
    left: list[FrozenItem] = []
    with listing.errors(), contextlib.ExitStack() as progress:

        def refs() -> Iterator[ItemRef]:
            began = None
            for item in listing:
                if record_name(item.digest) not in run.done:
                    began = began or time.monotonic()
                    left.append(item)
                    yield item.ref
            # The progress bar of the listing has ended.
            progress.enter_context(Progress(run.output, left, began=began))

        # Whatever ends the pipeline, end the processes first: nobody may still write while the run is removed
        # or after another launcher has taken over the output.
        with run.pool as pool, explain_failures(run.output, left):
            score = ScoreImages(run.task, _shared(pool), spread=False)
            _run_pipeline(run, lambda pipeline: pipeline | ListInputs(refs), score)
    run.hold.confirm()
    return listing.index()


def _score_frozen(run: _Run, frozen: ListingIndex) -> None:
    """Score the remaining work items of a frozen listing, on any runner."""
    left = [item for item in frozen.items if frozen.buckets or record_name(item.digest) not in run.done]
    if not left and not frozen.ranges and not frozen.buckets:
        return
    known = [] if frozen.buckets else left
    task = _task_for_workers(run)
    # The names of a hundred million images would not fit in memory.
    on_disk = frozen.buckets and runs_once_in_process(run.pipeline_options)
    spill = Spill(frozen.buckets) if on_disk else None

    def items(pipeline: beam.Pipeline) -> beam.PCollection:
        # No reshuffle: the scoring step spreads these items, and those that workers list, over the workers.
        refs = pipeline | "WorkItems" >> beam.Create([item.ref for item in left], reshuffle=False)
        if frozen.ranges:
            ranges = pipeline | "Ranges" >> beam.Create(frozen.ranges, reshuffle=False)
            refs = (refs, list_ranges(ranges, task)) | beam.Flatten()
        if frozen.buckets:
            past_files = list(incremental.past_listing_files(run.past))
            refs = refs | SkipScored(_join_task(run, frozen), past_files, spill and shared_spill(spill))
        return refs

    watchdog = watchdog_for(runner_state(run.pipeline_options), run.options.stall_timeout)
    with (
        rare_collections() if spill else contextlib.nullcontext(),
        _scorer(run, frozen, left) as scorer,
        explain_failures(run.output, known),
        Progress(run.output, known, adds_items=_adds_items(frozen), watchdog=watchdog),
    ):
        # If one thread runs all steps, spreading costs a tenth of a second and has no benefit.
        spread = not in_main_thread(run.pipeline_options)
        _run_pipeline(run, items, ScoreImages(task, scorer, spread=spread))
    dataflow.exit_after_template(run.pipeline_options, run.options.command(resume=True))


def _run_pipeline(run: _Run, items: Callable[[beam.Pipeline], beam.PCollection], score: ScoreImages) -> None:
    pipeline = beam.Pipeline(options=run.pipeline_options)
    with cancel_on_interrupt(pipeline), pipeline:
        _ = items(pipeline) | score


@contextlib.contextmanager
def _scorer(run: _Run, frozen: ListingIndex, left: Sequence[FrozenItem]) -> Iterator[Shared]:
    """Context manager around the scorer: worker processes, or nothing if Beam's workers make their own."""
    if not in_process(run.pipeline_options):
        yield Shared()
        return
    open_ended = _adds_items(frozen) is not None
    count = processes_for(
        run.options.workers,
        engine=run.task.bundle.engine.kind,
        images=None if open_ended else sum(item.images for item in left),
        items=None if open_ended else len(left),
    )
    with ready_pool(count, run.task, early=run.pool) as pool:
        yield _shared(pool)


def _shared(pool: WorkerPool | None) -> Shared:
    shared = Shared()
    if pool is not None:
        shared.acquire(lambda: pool)
    return shared


def _join_task(run: _Run, frozen: ListingIndex) -> JoinTask:
    return JoinTask(
        output=run.task.output,
        run=run.task.run,
        buckets=frozen.buckets,
        runs=len(run.past),
        max_size=run.options.rows_per_part,
        retry_failures=run.options.retry_failures,
    )


def _adds_items(frozen: ListingIndex) -> Callable[[str], bool] | None:
    """Return a predicate for listing files whose work items workers add; None if they add none."""
    if frozen.buckets:
        return is_joined
    return is_listed if frozen.ranges else None


def _manifest(run: _Run, account: Reconciliation, *, times: Mapping[str, str | float]) -> Manifest:
    options = run.options
    named = (*options.inputs, *([options.input_list] if options.input_list else []))
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
