"""One step of a scoring run's launcher on a synthetic run, in a process of its own.

`benchmarks.scale` starts it.

Usage: python -m benchmarks.scale_steps STEP FOLDER IMAGES PER_FOLDER

Prints the step's seconds, its processor seconds and the process's peak memory as JSON.
"""

import argparse
import collections
import dataclasses
import datetime
import json
import pathlib
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import apache_beam as beam

from benchmarks import scale_data
from benchmarks.scale_data import Shape
from digitmill.machine import cpu_count, rare_collections
from digitmill.storage import OutputFolder, open_folder
from pipelines.compact import compact_job
from pipelines.compact.compact_options import CompactOptions
from pipelines.history import incremental
from pipelines.history.block_shuffle import Spill, shared_spill
from pipelines.history.incremental_join import JoinTask, SkipScored
from pipelines.history.past_runs import PastRun, open_run
from pipelines.listing.frozen_listing import ItemRef, freeze_listing, read_index, read_items
from pipelines.listing.input_listing import Listing, list_images
from pipelines.listing.work_item import MAX_ITEM_SIZE
from pipelines.output.finishing import finish_run, library_versions, make_manifest, run_times
from pipelines.output.reconcile import Reconciliation, reconcile
from pipelines.output.row_export import export_rows
from pipelines.output.verification import verify
from pipelines.report.rebuilding import rebuild_report
from pipelines.report.scoring_report import Baselines
from pipelines.review.review_rows import rows_to_label
from pipelines.runners.beam_options import beam_options
from schemas import run_plan
from schemas.layout import is_joined
from schemas.manifest import Status

_REVIEWED: Final = 500
"""Images on the page that `digitmill review` writes by default."""


@dataclasses.dataclass(frozen=True)
class Bench:
    """The folders of one size: two nights and the state that they are merged into."""

    folder: pathlib.Path
    shape: Shape

    def open(self, name: str) -> OutputFolder:
        """Return an output folder, which may not exist yet."""
        output = open_folder(str(self.folder / name))
        output.claim()
        return output

    def past(self) -> PastRun:
        """Return the finished first night."""
        found = open_run(str(self.folder / "night-1"))
        assert found is not None
        return found


def run_list(bench: Bench) -> None:
    """Merge, check and count the names of the input."""
    collections.deque(list_images((), bench.shape.listed()), maxlen=0)


def run_freeze(bench: Bench) -> None:
    """List the names into work items and the index."""
    _freeze(bench, "night-1", night=0, buckets=lambda _: 0)


def _freeze(bench: Bench, name: str, *, night: int, buckets: Callable[[int], int]) -> None:
    listing = Listing(bench.shape.listed(night))
    output = bench.open(name)
    items = freeze_listing(listing, output, run=scale_data.RUN, most=MAX_ITEM_SIZE, buckets=buckets)
    collections.deque(items, maxlen=0)


def run_score(bench: Bench) -> None:
    """Write rows and records of the first night in several processes, as workers would."""
    index = read_index(bench.open("night-1"))
    assert index is not None
    scale_data.score_items(
        str(bench.folder / "night-1"), [item.ref for item in index.items], processes=cpu_count()
    )


def run_reconcile(bench: Bench) -> None:
    """Prove from the records that each listed image has one outcome."""
    _reconcile(bench, "night-1")


def _reconcile(bench: Bench, name: str) -> Reconciliation:
    output = bench.open(name)
    index = read_index(output)
    assert index is not None
    return reconcile(index, output=output, most=MAX_ITEM_SIZE)


def run_finish(bench: Bench) -> None:
    """Reconcile, and write the report and the manifest: the end of every run."""
    _finish(bench, "night-1", past={})


def _finish(bench: Bench, name: str, *, past: dict[str, str]) -> None:
    output, plan = bench.open(name), scale_data.plan(past)
    output.write_once(run_plan.FILE, plan.to_json().encode())
    reconciled = _reconcile(bench, name)
    now = datetime.datetime.now(datetime.UTC)
    model = {"path": "model", "digest": plan.model, "recipe": "cnn", "engine": "litert_int8"}
    draft = make_manifest(
        reconciled,
        lambda _: Status.COMPLETE,
        inputs=plan.inputs,
        model=model,
        options={**plan.settings, "engine_reason": "synthetic", "labels": None, "max_failure_rate": 1.0},
        versions=library_versions(),
        times=run_times(now.isoformat(), now, seconds=1.0, images=reconciled.statistics.listed),
    )
    with output.hold() as hold:
        finish_run(output, draft, reconciled, hold=hold, baselines=Baselines())


def run_report(bench: Bench) -> None:
    """Make the report of the finished run anew from its records."""
    rebuild_report(str(bench.folder / "night-1"), to=str(bench.folder / "report"))


def run_verify(bench: Bench) -> None:
    """Read every file again and compare it with the manifest, and each row with its record."""
    findings = verify(bench.open("night-1")).findings
    assert not findings, findings[:3]


def run_since(bench: Bench) -> None:
    """List a second night and skip what the first one scored: 1 % are new versions."""
    images = bench.shape.images
    _freeze(bench, "night-2", night=1, buckets=incremental.bucket_count)
    output = bench.open("night-2")
    index = read_index(output)
    assert index is not None
    task = JoinTask(
        output=output.place,
        run=scale_data.RUN,
        buckets=incremental.bucket_count(images),
        runs=1,
        max_size=MAX_ITEM_SIZE,
        retry_failures=False,
    )
    past = list(incremental.past_listing_files([bench.past()]))
    spill = Spill(task.buckets)
    with rare_collections(), beam.Pipeline(options=beam_options(())) as pipeline:
        refs = pipeline | beam.Create([item.ref for item in index.items], reshuffle=False)
        _ = refs | SkipScored(task, past, shared_spill(spill))


def run_score_again(bench: Bench) -> None:
    """Write rows and records of the second night, and finish it."""
    night = bench.open("night-2")
    scale_data.score_items(night.place, _joined(night), processes=cpu_count())
    _finish(bench, "night-2", past={bench.past().place: bench.past().digest})


def _joined(output: OutputFolder) -> Iterator[ItemRef]:
    # Each such file holds one item, since no name is an archive's; the last of a group holds none.
    for name in sorted(f"listing/{name}" for name in output.names("listing")):
        if is_joined(name) and read_items(output, name):
            yield name, 0


def run_compact(bench: Bench) -> None:
    """Merge both nights into their present state."""
    nights = tuple(str(bench.folder / name) for name in ("night-1", "night-2"))
    compact_job.run(
        CompactOptions(runs=nights, output=str(bench.folder / "state"), rows_per_part=MAX_ITEM_SIZE)
    )


def run_review(bench: Bench) -> None:
    """Read every row and choose those that a person should look at, as `digitmill review` does."""
    assert rows_to_label(bench.past(), _REVIEWED).doubtful


def run_export_parquet(bench: Bench) -> None:
    """Write all rows to one Parquet file, as `digitmill export` does."""
    _export(bench, "rows.parquet")


def run_export_csv(bench: Bench) -> None:
    """Write all rows to one CSV, as `digitmill export` does."""
    _export(bench, "rows.csv")


def _export(bench: Bench, name: str) -> None:
    export_rows(str(bench.folder / "night-1"), str(bench.folder / "exported" / name), overwrite=True)


STEPS: Final[dict[str, Callable[[Bench], None]]] = {
    "list": run_list,
    "freeze": run_freeze,
    "score": run_score,
    "reconcile": run_reconcile,
    "finish": run_finish,
    "report": run_report,
    "verify": run_verify,
    "export": run_review,
    "export-parquet": run_export_parquet,
    "export-csv": run_export_csv,
    "since": run_since,
    "score-again": run_score_again,
    "compact": run_compact,
}
"""In the order in which one needs what the one before has written."""

MADE_BY: Final = {
    "freeze": ("night-1",),
    "report": ("report",),
    "since": ("night-2",),
    "compact": ("state",),
}
"""Folders that a step begins: it starts over when it is run again."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("images", type=int)
    parser.add_argument("per_folder", type=int)
    given = parser.parse_args()
    bench = Bench(given.folder, Shape(given.images, given.per_folder))
    for name in MADE_BY.get(given.step, ()):
        shutil.rmtree(given.folder / name, ignore_errors=True)
    started, used = time.perf_counter(), time.process_time()
    STEPS[given.step](bench)
    seconds = time.perf_counter() - started
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    told: dict[str, Any] = {
        "seconds": seconds,
        "processor_seconds": sum(each.ru_utime + each.ru_stime for each in usage) - used,
        "peak_bytes": usage[0].ru_maxrss * 1024,
        "folders": _folders(given.folder),
    }
    print(json.dumps(told))


def _folders(place: pathlib.Path) -> dict[str, list[int]]:
    """Return number and bytes of the files in each folder of the nights and the state."""
    found: dict[str, list[int]] = {}
    for folder in sorted(path for path in place.glob("*/**") if path.is_dir()):
        sizes = [path.stat().st_size for path in folder.iterdir() if path.is_file()]
        found[str(folder.relative_to(place))] = [len(sizes), sum(sizes)]
    return found


if __name__ == "__main__":
    main()
