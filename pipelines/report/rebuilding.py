"""Rebuilds the report of a finished run from the statistics in its output."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from digitmill.storage import OutputFolder, open_folder
from pipelines.fields.run_fields import FieldRules, RunFields, read_fields
from pipelines.history.past_audits import audits_of, read_past_audits
from pipelines.history.past_runs import NEWEST, PastRun, open_finished_run, open_past_runs, open_run
from pipelines.listing.relative_names import RelativeNames
from pipelines.report.drift import Distributions
from pipelines.report.originals import read_originals
from pipelines.report.scoring_report import Baselines, ReportFile, RunReport
from pipelines.statistics.item_statistics import ItemStatistics, merge_statistics, read_record
from schemas import manifest
from schemas.checks.gates import figures
from schemas.errors import UserError, counted
from schemas.layout import (
    DISTRIBUTIONS,
    MODEL_CARD,
    PREVIOUS_DISTRIBUTIONS,
    REPORT_PAGE,
    is_field_table,
    is_record,
)
from schemas.manifest import Manifest, Part
from schemas.model import bundle
from schemas.model.model_card import ModelCard


def find_baselines(card: ModelCard | None, past: Sequence[PastRun]) -> Baselines:
    """Return the references for a new run's report: its model's training set and the earlier runs.

    Raises:
        UserError: when an audit of an earlier run cannot be read.
    """
    return Baselines(card, _distributions_of_newest(past[-1]) if past else None, audits_of(past))


def _distributions_of_newest(run: PastRun) -> Distributions | None:
    """Return the distributions of a run; for a merged state, those of its newest run."""
    place = str(run.plan.settings.get(NEWEST, run.place))
    return _read_distributions(open_folder(place), DISTRIBUTIONS)


def _read_distributions(output: OutputFolder, name: str) -> Distributions | None:
    """Read distributions; None if the file is missing or cannot be read."""
    try:
        return Distributions.from_csv(output.read(name))
    except (FileNotFoundError, ValueError):
        return None


def find_card(output: OutputFolder, finished: Manifest) -> ModelCard | None:
    """Return the card of a run's model, from the output or from the bundle if that is unchanged."""
    try:
        return ModelCard.from_json(output.read(MODEL_CARD).decode())
    except (FileNotFoundError, ValueError):
        pass
    try:
        text = (pathlib.Path(str(finished.model["path"])) / bundle.CARD).read_bytes()
        same = hashlib.sha256(text).hexdigest() == finished.model["digest"]
        return ModelCard.from_json(text.decode()) if same else None
    except (OSError, ValueError):
        return None


def rebuild_report(place: str, *, to: str | None = None, price_per_hour: float | None = None) -> str:
    """Rebuild the report of a finished run and return the location of its page.

    A finished output must stay as its manifest describes it: later runs refer to the manifest by its digest,
    and `verify` checks every file. So in place, the report is only repaired: missing or damaged files are
    written again if the result is the same. A report that differs, because of another digitmill version or
    price, needs a folder of its own.

    Args:
        place: the run's output.
        to: folder for the report; None for the output itself.
        price_per_hour: price of all machines together; None for the run's own option.

    Raises:
        UserError: when the run is not finished, its statistics are damaged, or the report differs and
            `to` is None.
    """
    output = open_folder(place)
    run = open_finished_run(
        place,
        problem="cannot make a report of an unfinished run",
        hint="finish it by `digitmill score --resume`",
    )
    finished = run.manifest
    if price_per_hour is not None:
        options = {**finished.options, "price_per_hour": price_per_hour}
        finished = dataclasses.replace(finished, options=options)
    records = [part for part in finished.parts if is_record(part.name)]
    try:
        statistics = merge_statistics(_read_statistics(output, part) for part in records)
    except (FileNotFoundError, ValueError) as error:
        raise _damaged(place, error) from error
    baselines = Baselines(find_card(output, finished), _previous(output, run), read_past_audits(output))
    originals = read_originals(output)
    names = RelativeNames.of(run.plan.inputs, run.plan.settings)
    report = RunReport.of(statistics, baselines, _fields(output, run), originals=originals, names=names)
    files = report.files(finished, folder=to or "")
    if to is None:
        _repair(output, files, finished)
        return output.at(REPORT_PAGE)
    folder = open_folder(to)
    folder.check(manifest.FILE)
    folder.claim()
    for file in files:
        folder.replace(file.name, file.data)
    return folder.at(REPORT_PAGE)


def run_figures(place: str) -> dict[str, Any]:
    """Return the figures of a finished run as JSON data: status, counts, failures by code, figures, gates.

    Raises:
        UserError: when there is no finished run.
    """
    found = open_finished_run(place, hint="finish it by `digitmill score --resume`").manifest
    return {
        "status": found.status,
        "counts": dataclasses.asdict(found.counts),
        "failures": dict(found.failures),
        # Manifests of earlier versions have counts only.
        "figures": dict(found.figures or figures(found)),
        "tripped": dict(found.tripped),
    }


def _fields(output: OutputFolder, run: PastRun) -> RunFields | None:
    """Return the fields of a run from its tables; recompute them if a table is missing or damaged."""
    finished = run.manifest
    rules = FieldRules.of(finished.options, run.plan.inputs, threshold=finished.accept_threshold)
    if rules is None:
        return None
    tables = [part for part in finished.parts if is_field_table(part.name)]
    if tables and all(_is_unchanged(output, part) for part in tables):
        return RunFields(read_fields(output, [part.name for part in tables]))
    names = [part.name for part in finished.parts]
    return rules.fields(output, names, open_past_runs(run.plan.past))


def _is_unchanged(output: OutputFolder, part: Part) -> bool:
    try:
        return Part.of(part.name, output.read(part.name), rows=part.rows) == part
    except FileNotFoundError:
        return False


def _previous(output: OutputFolder, run: PastRun) -> Distributions | None:
    if not run.plan.past:
        return None
    kept = _read_distributions(output, PREVIOUS_DISTRIBUTIONS)
    if kept is not None:
        return kept
    try:
        before = open_run(list(run.plan.past)[-1])
    except UserError:
        return None
    return _distributions_of_newest(before) if before else None


def _read_statistics(output: OutputFolder, part: Part) -> ItemStatistics:
    try:
        data = output.read(part.name)
        if Part.of(part.name, data, rows=part.rows) != part:
            raise ValueError("its digest differs from the manifest's")
        return read_record(data, output)
    except (FileNotFoundError, ValueError) as error:
        raise _damaged(output.at(part.name), error) from error


def _damaged(place: str, error: Exception) -> UserError:
    return UserError(
        "a statistics record is missing or damaged",
        value=place,
        hint=f"copy the output again, or score again: {error}",
    )


def _repair(output: OutputFolder, files: Iterable[ReportFile], finished: Manifest) -> None:
    named, differing = {part.name: part for part in finished.parts}, []
    for file in files:
        # An identical file may be written again even if other files differ.
        if named.get(file.name) != file.part:
            differing.append(file.name)
        elif not _is_whole(output, file):
            output.replace(file.name, file.data)
    if differing:
        raise UserError(
            f"the report would differ from the manifest in {counted(len(differing), 'file')}, "
            f"first {differing[0]}",
            value=output.place,
            hint="name another folder by --to",
        )


def _is_whole(output: OutputFolder, file: ReportFile) -> bool:
    try:
        return output.read(file.name) == file.data
    except FileNotFoundError:
        return False
