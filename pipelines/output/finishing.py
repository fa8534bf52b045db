"""Ends a run: reports, and last of all the manifest, in whose absence the run did not happen."""

import dataclasses
import datetime
from collections.abc import Callable, Mapping
from typing import Any

from digitmill.commands import run_config
from digitmill.storage import OutputFolder
from digitmill.storage.interface import Hold
from pipelines.output.reconcile import Account
from pipelines.report.scoring_report import Backdrop, write_reports
from pipelines.statistics.item_statistics import count_codes
from schemas import manifest, run_plan
from schemas.failure import FailureCode
from schemas.manifest import Counts, Manifest, Part, Status


def finish(
    output: OutputFolder, made: Manifest, account: Account, *, hold: Hold, against: Backdrop
) -> Manifest:
    """Writes the reports and the manifest, and returns it.

    Args:
        output: where to.
        made: the manifest but for its parts.
        account: what became of everything.
        hold: says whether the output is still ours.
        against: what the report holds the run against.

    Raises:
        StorageError: when it is not.
    """
    asked = [
        Part.of(name, output.read(name)) for name in (run_plan.FILE, run_config.FILE) if output.exists(name)
    ]
    hold.confirm()
    reports = write_reports(output, account.statistics, made, against=against)
    parts = (*asked, *account.parts, *account.statistics.parts, *reports)
    finished = dataclasses.replace(made, parts=tuple(sorted(parts, key=lambda part: part.name)))
    output.replace(manifest.FILE, finished.to_json().encode())
    return finished


def unreported(account: Account, status: Callable[[Counts], Status], **said: Any) -> Manifest:
    """Returns a run's manifest without its parts.

    Args:
        account: what became of everything.
        status: how a run of such counts has ended.
        said: the fields that do not follow from the account.
    """
    statistics = account.statistics
    counts = Counts(
        listed=statistics.listed + account.skipped,
        scored=statistics.scored,
        failed=len(statistics.failures),
        skipped=account.skipped,
    )
    return Manifest(
        status=status(counts),
        counts=counts,
        failures=count_codes(statistics.failures, FailureCode),
        labelled=statistics.labelled,
        right=statistics.right,
        accepted=statistics.accepted,
        parts=(),
        **said,
    )


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
        seconds: from the first look at the input to the last work item.
        images: that the launcher scored or failed.
    """
    return {
        "begun": begun,
        "started": started.isoformat(timespec="microseconds"),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
        "pipeline_seconds": round(seconds, 3),
        "images": images,
    }
