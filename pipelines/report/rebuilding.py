"""Makes a finished run's report again, from what its output holds."""

import hashlib
import pathlib
from collections.abc import Sequence
from typing import Final

from digitmill.storage import OutputFolder, open_folder
from pipelines.history.past_runs import PastRun, open_run
from pipelines.report.drift import Spread
from pipelines.report.scoring_report import (
    CARD,
    DISTRIBUTIONS,
    PAGE,
    PREVIOUS,
    Backdrop,
    ReportFile,
    report_files,
)
from pipelines.statistics.item_statistics import ItemStatistics, merge
from schemas import manifest
from schemas.errors import UserError
from schemas.layout import STATISTICS
from schemas.manifest import Manifest, Part
from schemas.model import bundle
from schemas.model.model_card import ModelCard

_REMEDY: Final = "score it again, or copy the output again"


def backdrop(card: ModelCard | None, past: Sequence[PastRun]) -> Backdrop:
    """Returns what a run's report holds it against: its model's training set, and the run before it."""
    return Backdrop(card, spread_in(open_folder(past[-1].place), DISTRIBUTIONS) if past else None)


def spread_in(output: OutputFolder, name: str) -> Spread | None:
    """Returns distributions that an output holds; None where it holds none that can be read."""
    try:
        return Spread.from_csv(output.read(name))
    except (FileNotFoundError, ValueError):
        return None


def card_in(output: OutputFolder, made: Manifest) -> ModelCard | None:
    """Returns the card of a run's model: from its output, or the bundle if that still is the same."""
    try:
        return ModelCard.from_json(output.read(CARD).decode())
    except (FileNotFoundError, ValueError):
        pass
    try:
        text = (pathlib.Path(str(made.model["path"])) / bundle.CARD).read_bytes()
        same = hashlib.sha256(text).hexdigest() == made.model["digest"]
        return ModelCard.from_json(text.decode()) if same else None
    except (OSError, ValueError):
        return None


def rebuild(place: str, *, to: str | None = None, price_per_hour: float | None = None) -> str:
    """Makes the report of a finished run again and returns where its page is.

    A finished output stays as its manifest says, because later runs name that manifest by its digest and
    `verify` holds every file against it. So in place the report is only mended: what is missing or
    damaged is written again if it comes out as it was. A report that differs, because another version of
    digitmill makes another one or a price is given, goes to a folder of its own.

    Args:
        place: the run's output.
        to: folder for the report; None for the output itself.
        price_per_hour: of all machines together; None for what the run was given.

    Raises:
        UserError: when there is no finished run, its records are not what the manifest says, or the
            report differs and there is no place for it.
    """
    output = open_folder(place)
    finished = open_run(place)
    if finished is None:
        raise UserError(
            f"a report is made of a finished run, which has a {manifest.FILE}",
            got=place,
            remedy="go on with it by `digitmill score --resume`",
        )
    made = finished.manifest
    if price_per_hour is not None:
        options = {**made.options, "price_per_hour": price_per_hour}
        made = Manifest(**{**vars(made), "options": options})
    statistics = merge(_record(output, part) for part in made.parts if part.name.startswith(f"{STATISTICS}/"))
    against = Backdrop(card_in(output, made), _previous(output, finished))
    files = list(report_files(statistics, made, against=against))
    if to is None:
        _mend(output, files, made)
        return output.at(PAGE)
    _write_new(open_folder(to), files)
    return open_folder(to).at(PAGE)


def _previous(output: OutputFolder, run: PastRun) -> Spread | None:
    if not run.plan.past:
        return None
    kept = spread_in(output, PREVIOUS)
    return kept or spread_in(open_folder(list(run.plan.past)[-1]), DISTRIBUTIONS)


def _record(output: OutputFolder, part: Part) -> ItemStatistics:
    try:
        data = output.read(part.name)
        if Part.of(part.name, data, rows=part.rows) != part:
            raise ValueError("other content")
        return ItemStatistics.from_json(data.decode())
    except (FileNotFoundError, ValueError) as error:
        raise UserError(
            "a report is made of the records that the manifest names",
            got=output.at(part.name),
            remedy=f"{_REMEDY}: {error}",
        ) from error


def _mend(output: OutputFolder, files: Sequence[ReportFile], made: Manifest) -> None:
    named = {part.name: part for part in made.parts}
    others = [file.name for file in files if named.get(file.name) != file.part]
    if others:
        raise UserError(
            "a finished output keeps the report that its manifest names",
            got=output.place,
            remedy=f"name a folder for the new one by --to; {others[0]} and {len(others) - 1:,} more differ",
        )
    for file in files:
        try:
            whole = output.read(file.name) == file.data
        except FileNotFoundError:
            whole = False
        if not whole:
            output.replace(file.name, file.data)


def _write_new(folder: OutputFolder, files: Sequence[ReportFile]) -> None:
    folder.check(manifest.FILE)
    folder.claim()
    for file in files:
        folder.replace(file.name, file.data)
