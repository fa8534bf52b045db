"""The job of `digitmill compact`: merges the outputs of several runs into one with their latest state."""

import dataclasses
import datetime
import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from digitmill.commands import Effect, run_config
from digitmill.machine import rare_collections
from digitmill.storage import OutputFolder, open_folder
from digitmill.storage.names import printable
from pipelines.compact import merging
from pipelines.compact.compact_options import CompactOptions
from pipelines.fields.run_fields import LIST_FIELDS, FieldRules, RunFields
from pipelines.history import incremental
from pipelines.history.block_shuffle import Block, Spill, group_blocks, read_blocks, shared_spill
from pipelines.history.incremental import PastListingFile
from pipelines.history.past_audits import audits_of
from pipelines.history.past_runs import (
    MERGED,
    NEWEST,
    SEVERAL_THRESHOLDS,
    PastRun,
    find_runs,
    pages_of,
    sort_runs,
    without_merged,
)
from pipelines.listing.frozen_listing import FrozenItem, ListingIndex, frozen_items, read_item
from pipelines.listing.named_images import FIELD_COLUMNS
from pipelines.listing.relative_names import LIST_FOLDERS, RelativeNames
from pipelines.listing.work_item import MAX_ITEM_SIZE
from pipelines.output import output_run
from pipelines.output.finishing import finish_run, make_manifest, run_times
from pipelines.output.reconcile import Reconciliation, reconcile, remove_unreferenced
from pipelines.output.run_progress import Progress
from pipelines.output.signing import Signer
from pipelines.output.stall_watchdog import watchdog_for
from pipelines.output.summary import Summary
from pipelines.report.rebuilding import find_card
from pipelines.report.scoring_report import Baselines
from pipelines.rows.row_columns import PROBABILITIES, definitions_of
from pipelines.runners.beam_options import job_options, runs_once_in_process
from pipelines.runners.interruption import resumable
from pipelines.runners.runner_state import runner_state
from pipelines.score_options import carried_names, extra_columns
from pipelines.statistics.audit_sample import AuditDraw
from schemas import run_plan
from schemas.errors import UserError
from schemas.layout import Compression, Format, is_listed, merged_listing
from schemas.manifest import Manifest, Status
from schemas.run_plan import RunPlan

SEVERAL = "several"
"""Placeholder for a setting in which the merged runs differ."""


@dataclasses.dataclass(frozen=True)
class MergeTask:
    """Parameters of every worker.

    Attributes:
        run: digest of everything besides the images that rows depend on.
        current: numbers of the runs whose inputs no later run listed completely.
        columns: names of the carried columns of each run, by run number.
        extra: names of the rows' optional columns.
        names: names of the images relative to the inputs of all runs.
        audit: how the audit sample is drawn; None for no sample.
    """

    output: str
    run: str
    buckets: int
    current: frozenset[int]
    compression: Compression
    formats: tuple[Format, ...]
    columns: tuple[tuple[str, ...], ...] = ()
    extra: tuple[str, ...] = ()
    names: RelativeNames = RelativeNames()  # noqa: RUF009 - frozen
    audit: AuditDraw | None = None


def run(options: CompactOptions) -> Summary:
    """Write the latest state of several runs as one run's output: the last outcome of each image.

    An image is included if the last run that listed all of its inputs, or a later run, listed it.

    Raises:
        UserError: when an option cannot be used; nothing has been written then.
        StoppedError: when the merge was stopped or its storage failed; it can be resumed.
        UnreconciledError: when no run has an outcome for an image; no manifest is written then.
    """
    started = datetime.datetime.now(datetime.UTC)
    signer = Signer.load(options.sign)
    pipeline_options = job_options(options.beam_flags, inputs=options.runs, output=options.output)
    output = open_folder(options.output)
    output_run.read_state(output, resume=options.resume)
    runs = _runs(options.runs, output)
    plan, audits = _plan(options, runs), audits_of(runs)
    with resumable(options.command(resume=True)), output.hold() as hold:
        standing = output_run.read_state(output, resume=options.resume)
        if standing.plan is not None:
            _check_same_runs(standing.plan, plan, output)
            output_run.check_same_plan(standing.plan, plan, output)
        finished = standing.finished
        if finished is None:
            output.write_once(run_plan.FILE, plan.to_json().encode())
            output.write_once(run_config.FILE, options.run_config().encode())
            task = _task(options, plan, runs, output)
            began = time.monotonic()
            watchdog = watchdog_for(runner_state(pipeline_options), options.stall_timeout)
            with Progress(output, [], adds_items=is_listed, verb="merging", watchdog=watchdog):
                _run_pipeline(task, runs, pipeline_options)
            reconciled = _reconcile(task, output)
            remove_unreferenced(output, reconciled, confirm=hold.confirm)
            seconds = time.monotonic() - began
            draft = _manifest(plan, runs, reconciled, started=started, seconds=seconds)
            draft = dataclasses.replace(draft, command=options.command(resume=True))
            card = find_card(open_folder(runs[-1].place), draft) if plan.model != SEVERAL else None
            finished = finish_run(
                output,
                draft,
                reconciled,
                hold=hold,
                baselines=Baselines(card, audits=audits),
                signer=signer,
                fields=_fields(draft, plan, output, reconciled),
            )
        elif signer is not None:
            signer.check(output)
    return Summary(printable(options.output.rstrip("/")), finished)


def _runs(given: Sequence[str], output: OutputFolder) -> list[PastRun]:
    # A new folder of states is empty before its first merge.
    parent = output.place.rpartition("/")[0]
    found = [
        run
        for place in given
        for run in find_runs(place, may_be_empty=open_folder(place).place == parent)
        if run.place != output.place
    ]
    runs = sort_runs(found)
    if not runs:
        raise UserError("no runs besides the output", value=output.place, hint="name a new output folder")
    known = {name for run in runs for name in (*run.names, *run.merged)}
    runs = without_merged(runs, same_scope=True)
    for run in runs:
        missing = [place for place, digest in run.plan.past.items() if not known & {place, digest}]
        if missing:
            raise UserError(
                "this run skipped images that another run scored",
                value=run.place,
                hint=f"name {missing[0]}, too",
            )
    return runs


def _check_same_runs(there: RunPlan, here: RunPlan, output: OutputFolder) -> None:
    """Raise UserError when a merge is resumed with other runs; the general message would list all digests."""
    if there.settings.get(MERGED) != here.settings[MERGED]:
        raise UserError(
            "cannot resume: the output is a merge of other runs",
            value=output.place,
            hint="name the runs that it was started with, or a new folder",
        )


def _plan(options: CompactOptions, runs: Sequence[PastRun]) -> RunPlan:
    models = {run.plan.model_version for run in runs}
    model, preprocessing = models.pop() if len(models) == 1 else (SEVERAL, SEVERAL)
    pages = {pages_of(run.plan) for run in runs}
    return RunPlan(
        inputs=tuple(sorted({given for run in runs for given in run.plan.inputs})),
        model=model,
        preprocessing=preprocessing,
        settings={
            "accept_threshold": runs[-1].manifest.options["accept_threshold"],
            **options.recorded(Effect.RESULT),
            "input_list_digest": _common_list(runs),
            "pages": pages.pop() if len(pages) == 1 else SEVERAL,
            **_optional(runs),
            "partial": {run.scope for run in runs} != {run.scope for run in runs if run.whole},
            MERGED: " ".join(sorted({digest for run in runs for digest in (run.digest, *run.merged)})),
            NEWEST: str(runs[-1].plan.settings.get(NEWEST, runs[-1].place)),
        },
        past={},
    )


def _optional(runs: Sequence[PastRun]) -> Mapping[str, str | int | bool]:
    """Return the settings about columns, input lists and audits, which not all runs have."""
    names = dict.fromkeys(name for run in runs for name in carried_names(run.plan.settings.get("carry")))
    lists = {folder for run in runs for folder in RelativeNames.of((), run.plan.settings).lists}
    audited = [int(size) for run in runs if (size := run.plan.settings.get("audit"))]
    found: dict[str, str | int | bool] = {
        "carry": ",".join(names),
        "probabilities": any(run.plan.settings.get("probabilities") for run in runs),
        LIST_FIELDS: any(run.plan.settings.get(LIST_FIELDS) for run in runs),
        LIST_FOLDERS: json.dumps(sorted(lists), ensure_ascii=False) if lists else "",
        "audit": max(audited, default=0),
        SEVERAL_THRESHOLDS: len({run.manifest.accept_threshold for run in runs}) > 1
        or any(run.plan.settings.get(SEVERAL_THRESHOLDS) for run in runs),
    }
    return {name: value for name, value in found.items() if value}


def _field_options(runs: Sequence[PastRun]) -> Mapping[str, str | int | float | None]:
    """Return the field options of the last run with fields; empty if no run has fields."""
    options = [run.manifest.options for run in reversed(runs) if run.manifest.fields is not None]
    return {name: options[0].get(name) for name in ("field", "field_check")} if options else {}


def _fields(
    draft: Manifest, plan: RunPlan, output: OutputFolder, reconciled: Reconciliation
) -> RunFields | None:
    """Return the fields of the merged state; None if no run has fields."""
    rules = FieldRules.of(draft.options, plan.inputs, threshold=draft.accept_threshold)
    return rules.fields(output, (part.name for part in reconciled.listing), ()) if rules else None


def _common_list(runs: Sequence[PastRun]) -> str | None:
    """Return a digest of the runs' input lists; None if no run has a list."""
    lists = sorted({run.scope[1] for run in runs} - {""})
    if len(lists) < 2:
        return lists[0] if lists else None
    return hashlib.sha256(" ".join(lists).encode()).hexdigest()


def _task(options: CompactOptions, plan: RunPlan, runs: Sequence[PastRun], output: OutputFolder) -> MergeTask:
    listed = max(run.manifest.counts.listed for run in runs)
    # A bucket becomes a part. Aim below the maximum, because bucket sizes vary.
    buckets = incremental.bucket_count(listed, names=max(1, options.rows_per_part * 3 // 4))
    last = {run.scope: number for number, run in enumerate(runs) if run.whole}
    # Runs over a part of the inputs count if they are later than the last complete run.
    current = (number for number, run in enumerate(runs) if number >= last.get(run.scope, 0))
    return MergeTask(
        output=output.place,
        run=_digest(plan, runs),
        buckets=buckets,
        current=frozenset(current),
        compression=options.compression,
        formats=options.formats,
        columns=tuple(map(_columns_of, runs)),
        extra=extra_columns(plan.settings),
        names=RelativeNames.of(plan.inputs, plan.settings),
        audit=AuditDraw(size, plan.model) if (size := int(plan.settings.get("audit") or 0)) else None,
    )


def _columns_of(run: PastRun) -> tuple[str, ...]:
    """Return the names of a run's carried columns."""
    fields = FIELD_COLUMNS if run.plan.settings.get(LIST_FIELDS) else ()
    return (*carried_names(run.plan.settings.get("carry")), *fields)


def _digest(plan: RunPlan, runs: Sequence[PastRun]) -> str:
    """Return a digest of what the rows depend on: the runs, regardless of their locations."""
    merged = hashlib.sha256(" ".join(run.digest for run in runs).encode()).hexdigest()
    settings = {name: value for name, value in plan.settings.items() if name != NEWEST} | {MERGED: merged}
    content = dataclasses.replace(plan, settings=settings).to_json()
    return hashlib.sha256(content.encode()).hexdigest()


def _run_pipeline(task: MergeTask, runs: Sequence[PastRun], options: PipelineOptions) -> None:
    spill = Spill(task.buckets) if runs_once_in_process(options) else None
    with rare_collections(), beam.Pipeline(options=options) as pipeline:
        read = (
            pipeline
            | "Files" >> beam.Create(list(incremental.past_listing_files(runs)))
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(_read_outcomes, task)
        )
        blocks = group_blocks([read], task.buckets, spill and shared_spill(spill))
        _ = blocks | "Merge" >> beam.FlatMap(_merge_bucket, task)


def _read_outcomes(file: PastListingFile, task: MergeTask) -> Iterator[tuple[int, Block]]:
    return merging.blocks_of(
        file,
        current=file.number in task.current,
        buckets=task.buckets,
        carries=bool(task.columns[file.number]),
        columns=definitions_of(name for name in task.extra if name in PROBABILITIES),
    )


def _merge_bucket(grouped: tuple[int, Iterable[Block]], task: MergeTask) -> Iterator[str]:
    bucket, blocks = grouped
    return merging.merge_bucket(
        read_blocks(blocks),
        open_folder(task.output),
        bucket=bucket,
        run=task.run,
        compression=task.compression,
        formats=task.formats,
        columns=task.columns,
        extra=task.extra,
        names=task.names,
        audit=task.audit,
    )


def _reconcile(task: MergeTask, output: OutputFolder) -> Reconciliation:
    items: list[FrozenItem] = []
    for bucket in range(task.buckets):
        name = merged_listing(bucket)
        item = read_item(output, name)
        items += frozen_items(name, item) if item else ()
    return reconcile(ListingIndex(tuple(items)), output=output, most=MAX_ITEM_SIZE)


def _manifest(
    plan: RunPlan,
    runs: Sequence[PastRun],
    reconciled: Reconciliation,
    *,
    started: datetime.datetime,
    seconds: float,
) -> Manifest:
    last, statistics = runs[-1].manifest, reconciled.statistics
    challenged = plan.model != SEVERAL and all(run.manifest.challenger == last.challenger for run in runs)
    return make_manifest(
        reconciled,
        lambda _: Status.COMPLETE,
        inputs=plan.inputs,
        model=last.model,
        challenger=last.challenger if challenged else None,
        agreed=statistics.agreed if challenged else 0,
        challenger_right=statistics.challenger_right if challenged else 0,
        options={
            **plan.settings,
            **_field_options(runs),
            "labels": last.options["labels"],
            "engine": last.options["engine"],
            "engine_reason": f"of the last of {len(runs):,} runs that were merged",
        },
        versions=last.versions,
        # The merged state is as old as its newest run, so that any later run supersedes it.
        times=run_times(
            max(run.began[0] for run in runs), started, seconds=seconds, images=statistics.listed
        ),
    )
