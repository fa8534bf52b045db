"""Reads run folders and writes reports, on disk or in a bucket."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from digitmill.reports.charts.chart import Chart
from digitmill.storage import before_run
from schemas.errors import UserError
from schemas.model.bundle import CARD
from schemas.model.model_card import ModelCard
from trainer.report.comparison import MAX_RUNS, by_letter, render_comparison
from trainer.report.record import FILE, FOLDER, PAGE, RunRecord
from trainer.report.training_charts import draw_charts
from trainer.report.training_page import FinishedRun, render_run
from trainer.run import history
from trainer.run.history import Epoch
from trainer.run.run_folder import BUNDLE
from trainer.run.run_location import Place, run_place

COMPARISON: Final = "comparison"
"""Default folder of a comparison."""

_CARD: Final = f"{BUNDLE}/{CARD}"


@before_run()
def is_run(place: str) -> bool:
    """Whether a folder, local or in a bucket, holds a finished training run."""
    return run_place(place).exists(_CARD)


def write_run(where: Place, card: ModelCard, record: RunRecord, *, epochs: Sequence[Epoch]) -> None:
    """Write a run's record and its report into the run folder."""
    files = [(FILE, record.to_json().encode())]
    run = FinishedRun(where.uri, card, tuple(epochs), record)
    _write(where, [*files, *_report(run, record)])


def rebuild(place: str, *, to: str | None = None) -> str:
    """Rebuild the report of a finished run and return the location of its page.

    Raises:
        UserError: if there is no finished run, or it has no record.
    """
    run = open_run(place)
    if run.record is None:
        raise UserError(
            f"the run has no {FILE}",
            value=place,
            hint="train again: the run is of an earlier version, and can only be compared",
        )
    where = run_place(to or place)
    if to is not None:
        _check_free(where)
    _write(where, _report(run, run.record, to=to))
    return where.at(PAGE)


def compare(places: Sequence[str], *, to: str | None = None) -> str:
    """Write the comparison of several runs with the first one and return the location of its page.

    Raises:
        UserError: for too few or too many runs, an unfinished run, or a run folder as `to`.
    """
    if not 2 <= len(places) <= MAX_RUNS:
        raise UserError(
            "cannot compare this number of runs",
            value=len(places),
            hint=f"name 2 to {MAX_RUNS} run folders",
        )
    where = run_place(to or COMPARISON)
    _check_free(where)
    page, charts = render_comparison(by_letter([open_run(place) for place in places]), to=to)
    _write(where, [*_charts(charts), (PAGE, page.encode())])
    return where.at(PAGE)


@before_run()
def open_run(place: str) -> FinishedRun:
    """Read card, history and record of a finished run.

    Raises:
        UserError: if there is no finished run, or its files can't be read.
    """
    where = run_place(place)
    if not where.exists(_CARD):
        raise UserError(
            "the folder holds no finished training run",
            value=place,
            hint="name a run folder, or finish the run by `digitmill train --resume`",
        )
    try:
        card = ModelCard.from_json(where.fetch(_CARD).read_text(encoding="utf-8"))
        epochs = history.read(where.fetch(history.FILE)) if where.exists(history.FILE) else []
        kept = where.fetch(FILE).read_text(encoding="utf-8") if where.exists(FILE) else None
        record = RunRecord.from_json(kept) if kept is not None else None
    except (ValueError, TypeError) as error:
        raise UserError(
            "cannot read the run's files",
            value=place,
            hint=f"copy the run folder again: {error}",
        ) from error
    return FinishedRun(place, card, tuple(epochs), record)


def _report(run: FinishedRun, record: RunRecord, *, to: str | None = None) -> Iterator[tuple[str, bytes]]:
    card = run.card
    drawn = draw_charts(record, run.epochs, accept=card.accept_threshold, temperature=card.temperature)
    yield from _charts(drawn.charts())
    yield PAGE, render_run(run, record, drawn=drawn, to=to).encode()


def _charts(charts: Iterable[Chart]) -> Iterator[tuple[str, bytes]]:
    for chart in charts:
        for name, content, _ in chart.files():
            yield f"{FOLDER}/{name}", content


@before_run()
def _check_free(where: Place) -> None:
    if where.exists(_CARD):
        raise UserError(
            "the folder for the report holds another run", value=where.uri, hint="name another folder"
        )


def _write(where: Place, files: Iterable[tuple[str, bytes]]) -> None:
    """Write files and publish them in the given order, with the page last."""
    names = []
    try:
        for name, content in files:
            path = where.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            names.append(name)
    except OSError as error:
        raise UserError(
            f"cannot write the report ({error.strerror})",
            value=where.uri,
            hint="name another folder",
        ) from error
    where.publish(*names)
