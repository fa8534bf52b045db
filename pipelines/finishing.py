"""Ends a run: reports, and last of all the manifest, in whose absence the run did not happen."""

import dataclasses
import datetime
from collections.abc import Mapping

from pipelines.reconcile import Account
from pipelines.report import write_reports
from pipelines.storage import OutputFolder
from pipelines.storage.interface import Hold
from schemas import manifest, run_plan
from schemas.manifest import Manifest, Part


def finish(output: OutputFolder, unreported: Manifest, account: Account, hold: Hold) -> Manifest:
    """Writes the reports and the manifest, and returns it.

    Args:
        output: where to.
        unreported: the manifest but for its parts.
        account: what became of everything.
        hold: says whether the output is still ours.

    Raises:
        StorageError: when it is not.
    """
    plan = Part.of(run_plan.FILE, output.read(run_plan.FILE))
    hold.confirm()
    reports = write_reports(output, account.statistics, unreported)
    parts = (plan, *account.parts, *account.statistics.parts, *reports)
    finished = dataclasses.replace(unreported, parts=tuple(sorted(parts, key=lambda part: part.name)))
    output.replace(manifest.FILE, finished.to_json().encode())
    return finished


def begun(output: OutputFolder) -> str:
    """Returns when the run in an output was begun: its plan is written first, and once."""
    return output.written(run_plan.FILE).isoformat(timespec="microseconds")


def times(
    begun: str, started: datetime.datetime, *, seconds: float, images: int
) -> Mapping[str, str | float]:
    """Returns a manifest's times.

    Args:
        begun: when the run was begun, by whatever launcher.
        started: when the launcher began.
        seconds: of the pipeline.
        images: that the launcher scored or failed.
    """
    return {
        "begun": begun,
        "started": started.isoformat(timespec="microseconds"),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
        "pipeline_seconds": round(seconds, 3),
        "images": images,
    }
