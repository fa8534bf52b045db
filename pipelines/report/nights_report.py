"""Finds the runs of several nights and writes their page, with one manifest in memory at a time."""

import os
import posixpath
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Final

from digitmill.reports.csv_table import encode_csv
from digitmill.storage import OutputFolder, open_folder
from digitmill.storage.names import place_from_anywhere, printable
from pipelines.history.past_audits import read_audit
from pipelines.report.nights import CSV_HEADER, Night, render_nights
from schemas import manifest, run_plan
from schemas.errors import UserError
from schemas.layout import REPORT_PAGE
from schemas.manifest import Manifest

PAGE: Final = "nights.html"
TABLE: Final = "nights.csv"
FOLDER: Final = "nights-report"
"""Default folder of the page when several places are given."""


def is_overview(places: Sequence[str]) -> bool:
    """Whether places are several scoring runs, or a folder of runs, rather than one run."""
    first = open_folder(places[0])
    if _is_run(first):
        return len(places) > 1
    return any(_is_run(run) for run in _below(first))


def report_nights(places: Sequence[str], *, to: str | None = None) -> str:
    """Write the page of several nights and return its location.

    Args:
        places: scoring runs, or folders of scoring runs.
        to: folder for the page; None for the folder of the runs, or `FOLDER` if there are several places.

    Raises:
        UserError: when no run is finished, a manifest cannot be read, or the page would go into a run.
    """
    target = open_folder(to or (places[0] if len(places) == 1 else FOLDER))
    if _is_run(target):
        raise UserError(
            "cannot write the page of several nights into a run", value=target.place, hint="give another --to"
        )
    found = {run.place: run for place in places for run in _runs(open_folder(place))}
    nights = {place: _night(run, page=target) for place, run in found.items()}
    finished = sorted((night for night in nights.values() if night), key=lambda night: night.began)
    if not finished:
        raise UserError(
            "no finished run in this folder or below it",
            value=places[0],
            hint="name the output of a finished run, or its parent folder",
        )
    unfinished = [_name(place) for place, night in nights.items() if night is None]
    page = render_nights(finished, unfinished=unfinished)
    target.claim()
    target.replace(TABLE, encode_csv([CSV_HEADER, *(night.row() for night in finished)]))
    target.replace(PAGE, page.encode())
    return target.at(PAGE)


def _runs(folder: OutputFolder) -> Iterator[OutputFolder]:
    """Yield the scoring run in a folder, or the runs in its sub-folders, finished or not."""
    yield from [folder] if _is_run(folder) else filter(_is_run, _below(folder))


def _below(folder: OutputFolder) -> Iterator[OutputFolder]:
    return (open_folder(folder.at(name)) for name in sorted(folder.folders()))


def _is_run(folder: OutputFolder) -> bool:
    return folder.exists(run_plan.FILE)


def _night(run: OutputFolder, *, page: OutputFolder) -> Night | None:
    """Return the night of a run from its manifest; None without a manifest."""
    try:
        found = Manifest.from_json(run.read(manifest.FILE).decode())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(
            "the manifest is damaged or of another version",
            value=run.place,
            hint=f"score it again, or leave it out: {error}",
        ) from error
    link = _link(run.at(REPORT_PAGE), page.place)
    return Night.of(found, name=_name(run.place), link=link, audit=read_audit(run))


def _name(place: str) -> str:
    return printable(posixpath.basename(place.rstrip("/")))


def _link(report: str, folder: str) -> str:
    """Return a link from a page in a folder to a report; relative if both are in the same store."""
    places = [place_from_anywhere(place) for place in (report, folder)]
    stores = {place.split("/", 3)[2] if "://" in place else "" for place in places}
    near = len(stores) == 1
    # In a relative link, a colon would be read as the end of a scheme.
    return urllib.parse.quote(
        os.fsencode(posixpath.relpath(*places) if near else places[0]), safe="/" if near else "/:"
    )
