"""The compacting run: several runs' outputs into one that holds the present state."""

import dataclasses
import datetime
import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from digitmill.commands import run_config
from digitmill.commands.command_line import command_line
from digitmill.storage import OutputFolder, open_folder
from digitmill.storage.names import printable
from pipelines.compact import merging
from pipelines.compact.merging import Block
from pipelines.history import incremental
from pipelines.history.incremental import PastFile
from pipelines.history.past_runs import PastRun, find_runs, in_order
from pipelines.listing.frozen_listing import Frozen, FrozenItem, frozen_items, read_item
from pipelines.listing.work_item import MOST
from pipelines.output import output_run
from pipelines.output.finishing import finish, times, unreported
from pipelines.output.reconcile import Account, collect, remove_strays
from pipelines.output.run_progress import Progress
from pipelines.output.summary import Summary
from pipelines.report.rebuilding import card_in
from pipelines.report.scoring_report import Backdrop
from pipelines.runners.beam_options import beam_options
from pipelines.runners.interruption import resumable
from pipelines.scoring.rows import Compression
from schemas import run_plan
from schemas.errors import UserError
from schemas.manifest import Manifest, Status
from schemas.run_plan import RunPlan

FLAGS = ("--output", "--rows-per-part", "--compression", "--resume")

SEVERAL = "several"
"""Stands for the model where the runs had different ones: nothing that was scored so is scored alike."""


@dataclasses.dataclass(frozen=True)
class CompactOptions:
    """What a compacting run is asked to do.

    Attributes:
        runs: outputs of runs, or folders above several.
        output: folder for everything that is written, local or in a `gs://` bucket.
        rows_per_part: number of rows that a prediction file comes to.
        compression: which prediction files are gzipped.
        resume: whether a run that was begun in the output is gone on with.
        beam_flags: flags for Beam, runner included.
    """

    runs: tuple[str, ...]
    output: str
    rows_per_part: int = MOST
    compression: Compression = Compression.RECORDS
    resume: bool = False
    beam_flags: tuple[str, ...] = ()

    def run_config(self) -> str:
        """Returns the file that asks for the same, for another output."""
        settings: dict[str, object] = {"runs": [*self.runs, *self.beam_flags]}
        settings |= {"rows-per-part": self.rows_per_part, "compression": self.compression}
        return run_config.to_text("compact", settings)

    def command(self) -> str:
        """Returns the command line that goes on with it."""
        flags = ["--output", self.output, "--rows-per-part", str(self.rows_per_part)]
        flags += ["--compression", str(self.compression), "--resume", *self.beam_flags]
        return command_line("compact", *self.runs, *flags)


@dataclasses.dataclass(frozen=True)
class MergeTask:
    """What every worker must know.

    Attributes:
        output: place of the output folder.
        run: digest of what the rows depend on beside the images.
        buckets: number of buckets that rows are spread over.
        current: numbers of the runs after which none has listed all of their inputs.
        compression: which prediction files are gzipped.
    """

    output: str
    run: str
    buckets: int
    current: frozenset[int]
    compression: Compression


def run(options: CompactOptions) -> Summary:
    """Writes the present state of several runs as one run's output: of each image the last answer.

    An image is there when the last run that listed all of its inputs, or a later one, has listed it.

    Raises:
        UserError: when something that was given cannot be used; nothing has been written then.
        StoppedError: when the run was told to stop, or its storage failed; it can be gone on with.
        UnreconciledError: when an image has no answer in any of the runs; there is no manifest then.
    """
    started = datetime.datetime.now(datetime.UTC)
    pipeline_options = beam_options(options.beam_flags, verb="compact", own=FLAGS)
    output = open_folder(options.output)
    output_run.look(output, resume=options.resume)
    runs = _runs(options.runs, output)
    plan = _plan(options, runs)
    with resumable(options.command()), output.hold() as hold:
        standing = output_run.look(output, resume=options.resume)
        if standing.plan is not None:
            output_run.check_same(standing.plan, plan, output)
        finished = standing.finished
        if finished is None:
            output.write_once(run_plan.FILE, plan.to_json().encode())
            output.write_once(run_config.FILE, options.run_config().encode())
            task = _task(options, plan, runs, output)
            began = time.monotonic()
            with Progress(output, [], growing=incremental.is_listed, verb="merging"):
                _run_pipeline(task, runs, pipeline_options)
            account = _account(task, output)
            seconds = time.monotonic() - began
            made = _manifest(plan, runs, account, started=started, seconds=seconds)
            made = dataclasses.replace(made, command=options.command())
            card = card_in(open_folder(runs[-1].place), made) if plan.model != SEVERAL else None
            finished = finish(output, made, account, hold=hold, against=Backdrop(card))
    return Summary(printable(options.output.rstrip("/")), finished)


def _runs(given: Sequence[str], output: OutputFolder) -> list[PastRun]:
    found = {run.place: run for place in given for run in find_runs(place) if run.place != output.place}
    runs = in_order(found.values())
    if not runs:
        raise UserError("runs are merged into another output", got=output.place, remedy="name a new folder")
    known = {name for run in runs for name in run.names}
    for run in runs:
        missing = [place for place, digest in run.plan.past.items() if not known & {place, digest}]
        if missing:
            raise UserError(
                "a run that skipped images is merged with the runs that had scored them",
                got=run.place,
                remedy=f"name {missing[0]} too",
            )
    return runs


def _plan(options: CompactOptions, runs: Sequence[PastRun]) -> RunPlan:
    models = {run.plan.scored_by for run in runs}
    model, preprocessing = models.pop() if len(models) == 1 else (SEVERAL, SEVERAL)
    return RunPlan(
        inputs=tuple(sorted({given for run in runs for given in run.plan.inputs})),
        model=model,
        preprocessing=preprocessing,
        settings={
            "accept_threshold": runs[-1].manifest.options["accept_threshold"],
            "rows_per_part": options.rows_per_part,
            "compression": str(options.compression),
            "input_list_digest": _common_list(runs),
            "partial": {run.scope for run in runs} != {run.scope for run in runs if run.whole},
            "merged": hashlib.sha256(" ".join(run.digest for run in runs).encode()).hexdigest(),
        },
        past={},
    )


def _common_list(runs: Sequence[PastRun]) -> str | None:
    """Returns what stands for the lists of names that were given; None where there were none."""
    lists = sorted({run.scope[1] for run in runs} - {""})
    if len(lists) < 2:
        return lists[0] if lists else None
    return hashlib.sha256(" ".join(lists).encode()).hexdigest()


def _task(options: CompactOptions, plan: RunPlan, runs: Sequence[PastRun], output: OutputFolder) -> MergeTask:
    listed = max(run.manifest.counts.listed for run in runs)
    # A bucket becomes a part; some turn out larger than others.
    buckets = incremental.bucket_count(listed, names=max(1, options.rows_per_part * 3 // 4))
    last = {run.scope: number for number, run in enumerate(runs) if run.whole}
    # What a part of the inputs was listed for after all of them is there too.
    current = (number for number, run in enumerate(runs) if number >= last.get(run.scope, 0))
    return MergeTask(
        output=output.place,
        run=hashlib.sha256(plan.to_json().encode()).hexdigest(),
        buckets=buckets,
        current=frozenset(current),
        compression=options.compression,
    )


def _run_pipeline(task: MergeTask, runs: Sequence[PastRun], options: PipelineOptions) -> None:
    with beam.Pipeline(options=options) as pipeline:
        blocks = (
            pipeline
            | "Files" >> beam.Create(list(incremental.files_of(runs)))
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.ParDo(ReadAnswers(task))
        )
        # Every bucket is there, also one that nothing hashes to, so that a missing one is seen.
        nothing: list[tuple[int, Block]] = [
            (bucket, (-1, merging.LISTED, [])) for bucket in range(task.buckets)
        ]
        empty = pipeline | "Buckets" >> beam.Create(nothing)
        _ = (
            (blocks, empty)
            | beam.Flatten()
            | "ByBucket" >> beam.GroupByKey()
            | "Merge" >> beam.ParDo(MergeBucket(task))
        )


class ReadAnswers(beam.DoFn):
    """Listing files of runs to blocks by bucket."""

    def __init__(self, task: MergeTask) -> None:
        super().__init__()
        self._task = task

    def process(self, file: PastFile) -> Iterator[tuple[int, Block]]:
        """Yields what the file leads to in blocks."""
        current = file.number in self._task.current
        yield from merging.blocks_of(file, current=current, buckets=self._task.buckets)


class MergeBucket(beam.DoFn):
    """Blocks of a bucket to the digests of the work items that they make."""

    def __init__(self, task: MergeTask) -> None:
        super().__init__()
        self._task = task

    def process(self, grouped: tuple[int, Iterable[Block]]) -> Iterator[str]:
        """Writes the bucket's present state."""
        task = self._task
        bucket, blocks = grouped
        yield from merging.merge_bucket(
            blocks, open_folder(task.output), bucket=bucket, run=task.run, compression=task.compression
        )


def _account(task: MergeTask, output: OutputFolder) -> Account:
    items: list[FrozenItem] = []
    for bucket in range(task.buckets):
        name = merging.merged_name(bucket)
        item = read_item(output, name)
        items += frozen_items(name, item) if item else ()
    account = collect(Frozen(tuple(items)), output=output, most=MOST)
    remove_strays(output, account)
    return account


def _manifest(
    plan: RunPlan, runs: Sequence[PastRun], account: Account, *, started: datetime.datetime, seconds: float
) -> Manifest:
    last, statistics = runs[-1].manifest, account.statistics
    challenged = plan.model != SEVERAL and all(run.manifest.challenger == last.challenger for run in runs)
    return unreported(
        account,
        lambda _: Status.COMPLETE,
        inputs=plan.inputs,
        model=last.model,
        challenger=last.challenger if challenged else None,
        agreed=statistics.agreed if challenged else 0,
        challenger_right=statistics.challenger_right if challenged else 0,
        options={
            **plan.settings,
            "labels": last.options["labels"],
            "engine": last.options["engine"],
            "engine_reason": f"of the last of {len(runs):,} runs that were merged",
        },
        versions=last.versions,
        # It is as old as the last of what it holds: a run that was begun since knows better.
        times=times(max(run.began[0] for run in runs), started, seconds=seconds, images=statistics.listed),
    )
