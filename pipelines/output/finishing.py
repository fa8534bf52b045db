"""Finishes a run: writes the reports, then the manifest.

An output without a manifest is not finished.
"""

import dataclasses
import datetime
import importlib.metadata
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from digitmill.commands import run_config
from digitmill.engines.bundle_loader import Bundle
from digitmill.imaging.canonical import PREPROCESSING_VERSION
from digitmill.storage import OutputFolder
from digitmill.storage.interface import Hold
from digitmill.storage.names import place_from_anywhere, printable
from pipelines.fields.run_fields import RunFields
from pipelines.output import output_run
from pipelines.output.reconcile import Reconciliation
from pipelines.output.signing import Signer, write_manifest
from pipelines.report.originals import find_originals
from pipelines.report.scoring_report import Baselines, RunReport
from pipelines.statistics.item_statistics import RunStatistics, count_failure_codes
from schemas import run_plan
from schemas.checks.gates import Gate, figures, tripped
from schemas.layout import REPORTS, Detail
from schemas.manifest import Counts, Manifest, Part, Status

_LIBRARIES = ("digitmill", "apache-beam", "numpy", "opencv-python-headless")


def finish_run(
    output: OutputFolder,
    draft: Manifest,
    reconciled: Reconciliation,
    *,
    hold: Hold,
    baselines: Baselines,
    signer: Signer | None = None,
    fields: RunFields | None = None,
    gates: Iterable[Gate] = (),
) -> Manifest:
    """Write the reports and the manifest, signed if there is a key; return the manifest.

    Raises:
        StorageError: when another launcher has taken over the output.
    """
    begun = [
        Part.of(name, output.read(name)) for name in (run_plan.FILE, run_config.FILE) if output.exists(name)
    ]
    hold.confirm()
    wanted = draft.options.get("report") != Detail.NONE
    originals = find_originals(reconciled.statistics) if wanted else None
    names = output_run.relative_names(output)
    report = RunReport.of(reconciled.statistics, baselines, fields, originals=originals, names=names)

    def judge(known: Manifest) -> Manifest:
        counted = dataclasses.replace(known, fields=fields.counts if fields else None)
        return dataclasses.replace(counted, figures=figures(counted), tripped=tripped(gates, counted))

    launched = {"folder": printable(os.getcwd()), "output": printable(place_from_anywhere(output.place))}
    draft = dataclasses.replace(draft, **report.figures(), launched=launched)
    reports = report.write(output, draft, judge, confirm=hold.confirm)
    _drop_other_reports(output, reports, hold)
    parts = (*begun, *reconciled.parts, *reconciled.statistics.parts, *reports)
    finished = dataclasses.replace(judge(draft), parts=tuple(sorted(parts, key=lambda part: part.name)))
    hold.confirm()
    write_manifest(output, finished.to_json().encode(), signer)
    return finished


def _drop_other_reports(output: OutputFolder, reports: Iterable[Part], hold: Hold) -> None:
    """Delete reports left by an unfinished launcher with other flags."""
    named = {part.name for part in reports}
    for name in output.names(REPORTS):
        if f"{REPORTS}/{name}" not in named:
            hold.confirm()
            output.delete(f"{REPORTS}/{name}")


def make_manifest(reconciled: Reconciliation, status: Callable[[Counts], Status], **fields: Any) -> Manifest:
    """Return a manifest without parts; `fields` are the fields that do not follow from the outcomes."""
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
        labeled=statistics.labeled,
        right=statistics.right,
        accepted=statistics.accepted,
        not_digits=statistics.not_digits,
        accepted_labeled=statistics.accepted_labeled,
        accepted_right=statistics.accepted_right,
        parts=(),
        skipped_failed=reconciled.skipped_failed,
        ignored=reconciled.ignored,
        vanished=reconciled.vanished,
        **fields,
    )


def begin_time(output: OutputFolder) -> str:
    """Return when a run began (ISO 8601, UTC): the time of its plan, which is its first file."""
    return _timestamp(output.written(run_plan.FILE))


def run_times(
    begun: str, started: datetime.datetime, *, seconds: float, images: int
) -> Mapping[str, str | float]:
    """Return a manifest's times: `begun` is that of the run, all others are this launcher's."""
    return {
        "begun": begun,
        "started": _timestamp(started),
        "finished": _timestamp(datetime.datetime.now(datetime.UTC)),
        "pipeline_seconds": round(seconds, 3),
        "images": images,
    }


def _timestamp(time: datetime.datetime) -> str:
    return time.isoformat(timespec="microseconds")


def describe_model(bundle: Bundle, given: str) -> Mapping[str, str]:
    """Return the fields that identify a model and its engine."""
    return {
        "path": printable(given),
        "digest": bundle.digest,
        "recipe": bundle.card.recipe,
        "engine": bundle.engine.kind,
    }


def challenger_fields(
    challenger: Bundle | None, given: str | None, *, statistics: RunStatistics
) -> Mapping[str, Any]:
    """Return the manifest's fields about a challenger; empty without a challenger."""
    if challenger is None or given is None:
        return {}
    return {
        "challenger": describe_model(challenger, given),
        "agreed": statistics.agreed,
        "challenger_right": statistics.challenger_right,
    }


def library_versions(*bundles: Bundle | None) -> Mapping[str, str]:
    """Return the version of each library used, and of the preprocessing."""
    engines = {bundle.engine.library for bundle in bundles if bundle is not None}
    libraries = {name: importlib.metadata.version(name) for name in (*_LIBRARIES, *sorted(engines))}
    return {"preprocessing": PREPROCESSING_VERSION, **libraries}
