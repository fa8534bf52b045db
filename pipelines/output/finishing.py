"""Finishes a run: writes the reports, and the manifest last; an output without a manifest is not finished."""

import dataclasses
import datetime
from collections.abc import Callable, Mapping
from typing import Any

from digitmill.commands import run_config
from digitmill.storage import OutputFolder
from digitmill.storage.interface import Hold
from pipelines.output.reconcile import Reconciliation
from pipelines.report.scoring_report import Baselines, write_reports
from pipelines.statistics.item_statistics import count_failure_codes
from schemas import manifest, run_plan
from schemas.manifest import Counts, Manifest, Part, Status


def finish_run(
    output: OutputFolder, draft: Manifest, reconciled: Reconciliation, *, hold: Hold, baselines: Baselines
) -> Manifest:
    """Writes the reports and the manifest, and returns the manifest.

    Args:
        output: the run's folder.
        draft: the manifest without its parts.
        reconciled: the outcome of every listed image.
        hold: the lock on the output, checked before anything is written.
        baselines: references of the report.

    Raises:
        StorageError: when another launcher has taken the output over.
    """
    begun = [
        Part.of(name, output.read(name)) for name in (run_plan.FILE, run_config.FILE) if output.exists(name)
    ]
    hold.confirm()
    reports = write_reports(output, reconciled.statistics, draft, baselines=baselines)
    parts = (*begun, *reconciled.parts, *reconciled.statistics.parts, *reports)
    finished = dataclasses.replace(draft, parts=tuple(sorted(parts, key=lambda part: part.name)))
    output.replace(manifest.FILE, finished.to_json().encode())
    return finished


def make_manifest(reconciled: Reconciliation, status: Callable[[Counts], Status], **fields: Any) -> Manifest:
    """Returns a run's manifest without its parts.

    Args:
        reconciled: the outcome of every listed image.
        status: returns the status of a run with the given counts.
        fields: those that do not follow from the outcomes.
    """
    statistics = reconciled.statistics
    counts = Counts(
        listed=statistics.listed + reconciled.skipped,
        scored=statistics.scored,
        failed=len(statistics.failures),
        skipped=reconciled.skipped,
    )
    return Manifest(
        status=status(counts),
        counts=counts,
        failures=count_failure_codes(statistics.failures),
        labelled=statistics.labelled,
        right=statistics.right,
        accepted=statistics.accepted,
        parts=(),
        **fields,
    )


def begin_time(output: OutputFolder) -> str:
    """Returns when a run began, as ISO 8601 in UTC: when its plan was written, once, as its first file."""
    return _timestamp(output.written(run_plan.FILE))


def run_times(
    begun: str, started: datetime.datetime, *, seconds: float, images: int
) -> Mapping[str, str | float]:
    """Returns a manifest's times.

    Args:
        begun: when the run began, under whichever launcher.
        started: when this launcher started.
        seconds: from the start of listing to the last work item.
        images: number of images that this launcher scored or failed.
    """
    return {
        "begun": begun,
        "started": _timestamp(started),
        "finished": _timestamp(datetime.datetime.now(datetime.UTC)),
        "pipeline_seconds": round(seconds, 3),
        "images": images,
    }


def _timestamp(time: datetime.datetime) -> str:
    return time.isoformat(timespec="microseconds")
