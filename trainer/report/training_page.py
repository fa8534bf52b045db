"""Renders the report page of one run."""

import dataclasses
import shlex

from digitmill.reports.card_text import sections
from digitmill.reports.html_page import render
from digitmill.reports.numbers import NONE
from schemas.model.model_card import ModelCard
from trainer.report import training_galleries, training_tables
from trainer.report.record import RunRecord
from trainer.report.training_charts import RunCharts
from trainer.run.history import Epoch


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """The files of a run that its report needs.

    Attributes:
        place: the run folder, as given.
        epochs: `history.csv`.
        record: `report/data.json`; None in runs of earlier versions.
    """

    place: str
    card: ModelCard
    epochs: tuple[Epoch, ...]
    record: RunRecord | None


def render_run(run: FinishedRun, record: RunRecord, *, drawn: RunCharts, to: str | None = None) -> str:
    """Return the page's HTML, with everything escaped; it goes into `to`, or into the run folder."""
    card, test = run.card, record.answers["test"]
    return render(
        "trainer.report",
        "training.html",
        place=run.place,
        card=card,
        record=record,
        test=test,
        facts=list(training_tables.facts(card, record, run.epochs)),
        shares=_shares(record, card.accept_threshold),
        drawn=drawn,
        digit_columns=training_tables.DIGIT_COLUMNS,
        digits=list(training_tables.digit_cells(test)),
        class_columns=("Digit", *map(str.capitalize, record.class_counts)),
        classes=list(training_tables.class_cells(record)),
        calibration=list(training_tables.calibration_rows(record, card.temperature)),
        unfamiliar=list(training_tables.out_of_distribution_rows(card.trust)),
        exports=list(training_tables.export_rows(card)),
        members=list(training_tables.member_rows(record)),
        member_links=[member.link for member in record.members],
        galleries=list(training_galleries.galleries(record)),
        augmented=training_galleries.augmented(record),
        by_digit=training_galleries.samples_by_digit(record),
        sections=sections(card),
        settings=list(training_tables.settings_rows(record.settings)),
        commands=commands(run, to),
        left_out=NONE,
    )


def commands(run: FinishedRun, to: str | None) -> dict[str, str]:
    """Return the commands to repeat the run and its report, by title."""
    other = [] if to is None else ["--to", to]
    found = {"To train the same again": run.card.command} if run.card.command else {}
    return found | {"To make this page again": shlex.join(["digitmill", "report", run.place, *other])}


def _shares(record: RunRecord, threshold: float) -> list[tuple[str, int, str]]:
    """Return name, number of test images and color of each part of the bar at the top."""
    test = record.answers["test"]
    accepted = test.at(threshold)
    wrong = accepted.accepted - accepted.right
    return [
        ("accepted and right", accepted.right, "accent"),
        ("accepted and wrong", wrong, "fail"),
        ("for review", test.images - accepted.accepted, "second"),
    ]
