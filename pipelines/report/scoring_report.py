"""The reports of a run: small CSV tables, pictures and one page, made from the merged statistics alone."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from digitmill.reports.csv_table import encode_csv
from digitmill.storage import OutputFolder
from pipelines.report.class_metrics import DIGITS_HEADER, digit_rates, folder_rates
from pipelines.report.drift import HEADER, Spread
from pipelines.report.scoring_page import Drawn, comparisons, draw, render_page
from pipelines.statistics import agreement
from pipelines.statistics.item_statistics import RunStatistics
from pipelines.statistics.tallies import Tally, total
from schemas import failure
from schemas.digit import CLASSES
from schemas.manifest import Manifest, Part
from schemas.model.model_card import ModelCard

REPORTS = "reports"
"""Folder of the CSV reports within the output."""

PAGE = "report.html"
"""The page, in the output folder."""

DISTRIBUTIONS = f"{REPORTS}/distributions.csv"
"""How a run's images are spread: what the next run is held against."""

PREVIOUS = f"{REPORTS}/previous_distributions.csv"
"""The same of the run that this one was held against, so that the report can be made again without it."""

CARD = f"{REPORTS}/model_card.json"
"""The model's card: the training set that the run is held against, and what the page says of the model."""

_SUMMARY_HEADER = (
    "scope", "folder", "digit", "scored", "failed", "mean_confidence", "accepted", "labelled", "right"
)  # fmt: skip

Row = Sequence[object]


@dataclasses.dataclass(frozen=True)
class Backdrop:
    """What a report holds a run against.

    Attributes:
        card: the model's; None where it is not known.
        previous: how the images of the run before were spread; None where there is none.
    """

    card: ModelCard | None = None
    previous: Spread | None = None

    def spreads(self) -> dict[str, Spread]:
        """Returns distributions by their name in a legend."""
        found = {"training": Spread.of_training(self.card)} if self.card else {}
        return found | ({"previous run": self.previous} if self.previous else {})


@dataclasses.dataclass(frozen=True)
class ReportFile:
    """One file of the report: its name in the output, its content, and its rows."""

    name: str
    data: bytes
    rows: int = 0

    @property
    def part(self) -> Part:
        """What a manifest says of it."""
        return Part.of(self.name, self.data, rows=self.rows)


def write_reports(
    output: OutputFolder, statistics: RunStatistics, manifest: Manifest, *, against: Backdrop | None = None
) -> tuple[Part, ...]:
    """Writes `reports/` and the page, and returns their files as parts of the run."""
    parts = []
    for file in report_files(statistics, manifest, against=against or Backdrop()):
        output.replace(file.name, file.data)
        parts.append(file.part)
    return tuple(parts)


def report_files(statistics: RunStatistics, manifest: Manifest, *, against: Backdrop) -> Iterator[ReportFile]:
    """Yields the files of a report, the page last; of the same run always the same ones.

    `confusion.csv` is there only when labels are known, `agreement.csv` only with a challenger.
    """
    here, others = spread_of(statistics), against.spreads()
    drawn = draw(statistics, manifest, here=here, others=others)
    yield from _tables(statistics, manifest)
    yield _table(DISTRIBUTIONS, HEADER, here.rows())
    if against.previous is not None:
        yield _table(PREVIOUS, HEADER, against.previous.rows())
    if against.card is not None:
        yield ReportFile(CARD, against.card.to_json().encode())
    yield from _charts(drawn)
    compared = comparisons(here, others) if statistics.scored else []
    page = render_page(statistics, manifest, drawn=drawn, compared=compared, card=against.card)
    yield ReportFile(PAGE, page.encode())


def spread_of(statistics: RunStatistics) -> Spread:
    """Returns how a run's images are spread."""
    digits = (total(t for t in statistics.tallies if t.digit == digit).images for digit in range(CLASSES))
    return Spread(statistics.scored, tuple(digits), statistics.confidences, statistics.grey_levels)


def _tables(statistics: RunStatistics, manifest: Manifest) -> Iterator[ReportFile]:
    yield _table(f"{REPORTS}/summary.csv", _SUMMARY_HEADER, summary_rows(statistics))
    header = [described.name for described in failure.COLUMNS]
    yield _table(f"{REPORTS}/failures.csv", header, failure_rows(statistics))
    yield _table(f"{REPORTS}/digits.csv", DIGITS_HEADER, (rates.row() for rates in digit_rates(statistics)))
    if manifest.challenger is not None:
        rows = agreement.agreement_rows(statistics.agreements)
        yield _table(f"{REPORTS}/agreement.csv", agreement.HEADER, rows)


def _charts(drawn: Drawn) -> Iterator[ReportFile]:
    for chart in drawn.charts():
        for name, data, rows in chart.files():
            yield ReportFile(f"{REPORTS}/{name}", data, rows)


def summary_rows(statistics: RunStatistics) -> Iterable[Row]:
    """Yields counts and mean confidence: of all, per digit, per folder, per folder and digit.

    Failed images have no digit, so `failed` stands only in rows of all and of a folder.
    """
    everything = total(statistics.tallies)
    yield ("all", "", "", *_counts(everything, failed=len(statistics.failures)))
    for digit in range(CLASSES):
        yield ("digit", "", digit, *_counts(total(t for t in statistics.tallies if t.digit == digit)))
    for rate in folder_rates(statistics):
        yield ("folder", rate.folder, "", *_counts(rate.tally, failed=rate.failed))
    for tally in statistics.tallies:
        yield ("folder_digit", tally.folder, tally.digit, *_counts(tally))


def failure_rows(statistics: RunStatistics) -> Iterable[Row]:
    """Yields the failed images, as `schemas.failure.COLUMNS` has them."""
    for failed in statistics.failures:
        yield tuple(getattr(failed, described.name) for described in failure.COLUMNS)


def _counts(tally: Tally, *, failed: int | str = "") -> Row:
    mean = f"{tally.confidence / tally.images:.6f}" if tally.images else ""
    return tally.images, failed, mean, tally.accepted, tally.labelled, tally.right


def _table(name: str, header: Sequence[str], rows: Iterable[Row]) -> ReportFile:
    table = [tuple(header), *map(tuple, rows)]
    return ReportFile(name, encode_csv(table), len(table) - 1)
