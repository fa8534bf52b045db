"""The report of a run: CSV tables, charts and one page, all made from the merged statistics."""

import dataclasses
import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Self

from digitmill.reports.csv_table import encode_csv
from digitmill.storage import OutputFolder
from pipelines.fields.run_fields import RunFields
from pipelines.history import past_audits
from pipelines.listing.relative_names import RelativeNames
from pipelines.report.class_metrics import DIGITS_HEADER, FolderSurvey, digit_metrics, survey_folders
from pipelines.report.drift import DISTRIBUTIONS_HEADER, Distributions, DriftComparison
from pipelines.report.originals import ImageLinks, Originals
from pipelines.report.running_audit import RunningAudit
from pipelines.report.scoring_charts import RunCharts, draw_charts
from pipelines.report.scoring_page import render_page
from pipelines.statistics import agreement, audit_sample
from pipelines.statistics.item_statistics import RunStatistics
from pipelines.statistics.tallies import Tally
from schemas import failure, prediction
from schemas.checks.audit import Audit
from schemas.layout import (
    AUDIT,
    DISTRIBUTIONS,
    MODEL_CARD,
    ORIGINALS,
    PAST_AUDITS,
    PREVIOUS_DISTRIBUTIONS,
    REPORT_PAGE,
    REPORTS,
    Detail,
    failure_table,
    field_table,
)
from schemas.manifest import Manifest, Part
from schemas.model.model_card import ModelCard

_SUMMARY_HEADER = (
    "scope", "folder", "digit", "scored", "failed", "mean_confidence", "accepted", "labeled", "right"
)  # fmt: skip

TRAINING: Final = "training"
PREVIOUS: Final = "previous run"
"""Name of the previous run in legends."""

Row = Sequence[object]

_SLICE_ROWS: Final = 4_096


@dataclasses.dataclass(frozen=True)
class Baselines:
    """References that a report compares a run with, if known: the model's training set and the previous run.

    Attributes:
        audits: audits of the earlier runs, oldest first.
    """

    card: ModelCard | None = None
    previous: Distributions | None = None
    audits: tuple[Audit, ...] = ()

    def compare(self, current: Distributions) -> dict[str, DriftComparison]:
        """Compare a run's distributions with those of each reference; return the comparisons by name."""
        return {
            name: DriftComparison.of(current, reference, name=self._named(name))
            for name, reference in self.distributions().items()
        }

    def _named(self, name: str) -> str:
        if name != TRAINING:
            return f"the {name}"
        return "the calibration set" if self.card and self.card.recalibration else f"the {name} set"

    def distributions(self) -> dict[str, Distributions]:
        """Return the references' distributions, by name in a legend."""
        found = {TRAINING: Distributions.from_card(self.card)} if self.card else {}
        return found | ({PREVIOUS: self.previous} if self.previous else {})


@dataclasses.dataclass(frozen=True)
class ReportFile:
    """One file of the report: its name in the output, its content, and its number of rows."""

    name: str
    data: bytes
    rows: int = 0

    @property
    def part(self) -> Part:
        """The file as the manifest describes it."""
        return Part.of(self.name, self.data, rows=self.rows)


def _as_it_is(manifest: Manifest) -> Manifest:
    return manifest


@dataclasses.dataclass(frozen=True)
class RunReport:
    """The data of a run's report, summed up once.

    Attributes:
        comparisons: drift against each reference, by name; empty if no images were scored.
        audited: sum of the audits of the earlier runs; None without audits.
    """

    statistics: RunStatistics
    baselines: Baselines
    folders: FolderSurvey
    distributions: Distributions
    comparisons: Mapping[str, DriftComparison]
    audited: RunningAudit | None = None
    fields: RunFields | None = None
    originals: Originals = dataclasses.field(default_factory=dict)
    names: RelativeNames = RelativeNames()  # noqa: RUF009 - frozen

    @classmethod
    def of(
        cls,
        statistics: RunStatistics,
        baselines: Baselines,
        fields: RunFields | None = None,
        *,
        originals: Originals | None = None,
        names: RelativeNames = RelativeNames(),  # noqa: B008 - frozen
    ) -> Self:
        """Sum up a run and compare it with its references.

        `originals` are thumbnails to show next to the digits; `names` makes names relative to the inputs.
        """
        folders = survey_folders(statistics)
        current = distributions_of(statistics, folders)
        compared = baselines.compare(current) if statistics.scored else {}
        audited = RunningAudit.of(baselines.audits)
        kept = originals or {}
        return cls(statistics, baselines, folders, current, compared, audited, fields, kept, names)

    def figures(self) -> dict[str, Any]:
        """Return the manifest's fields about drift and earlier audits."""
        drift = {
            field: self.comparisons[name].figure if name in self.comparisons else None
            for field, name in (("drift", TRAINING), ("drift_from_previous", PREVIOUS))
        }
        return {**drift, "audit_error": self.audited.total.error_rate if self.audited else None}

    def write(
        self,
        output: OutputFolder,
        manifest: Manifest,
        judge: Callable[[Manifest], Manifest] = _as_it_is,
        *,
        confirm: Callable[[], None] = lambda: None,
    ) -> tuple[Part, ...]:
        """Write `reports/` and the page, and return their files as parts of the run.

        `judge` returns the manifest to show on the page; it is called after the fields are counted. `confirm`
        is called before each file, and raises when another launcher has taken over the output.
        """
        parts = []
        for file in self.files(manifest, judge):
            confirm()
            output.replace(file.name, file.data)
            parts.append(file.part)
        return tuple(parts)

    def files(
        self, manifest: Manifest, judge: Callable[[Manifest], Manifest] = _as_it_is, *, folder: str = ""
    ) -> Iterator[ReportFile]:
        """Yield the files of the report, the page last; the same run gives the same bytes.

        `confusion.csv` needs known labels, `agreement.csv` a challenger, `fields.csv` fields, and
        `past_audits.csv` audits of earlier runs. The run's `--report` decides whether there is a page, and
        whether there are chart files.

        Args:
            manifest: the run's manifest.
            judge: completes the manifest after the tables are written.
            folder: folder of the page, if it is not the run's output.
        """
        detail = Detail(str(manifest.options.get("report") or Detail.FULL))
        charts = self._charts(manifest) if detail is not Detail.NONE and self.statistics.scored else None
        names = []
        for file in self._tables_and_charts(manifest, charts if detail is Detail.FULL else None):
            names.append(file.name)
            yield file
        if detail is Detail.NONE:
            return
        if self.originals:
            yield ReportFile(ORIGINALS, json.dumps(self.originals, indent=0).encode())
        own = manifest.launched.get("output", "")
        links = ImageLinks.of_page_in(folder) if folder else ImageLinks(own)
        links = dataclasses.replace(links, originals=self.originals)
        page = render_page(
            self.statistics,
            judge(manifest),
            folders=self.folders,
            charts=charts,
            comparisons=list(self.comparisons.values()),
            card=self.baselines.card,
            audited=self.audited,
            fields=self.fields,
            tables=[name for name in names if name.endswith((".csv", ".json"))],
            links=links,
        )
        yield ReportFile(REPORT_PAGE, page.encode())

    def _charts(self, manifest: Manifest) -> RunCharts:
        references = self.baselines.distributions()
        return draw_charts(self.statistics, manifest, current=self.distributions, references=references)

    def _tables_and_charts(self, manifest: Manifest, charts: RunCharts | None) -> Iterator[ReportFile]:
        baselines = self.baselines
        yield from _tables(self.statistics, manifest, self.folders, self.names)
        if self.fields is not None:
            yield from _field_tables(self.fields)
        yield _table(DISTRIBUTIONS, DISTRIBUTIONS_HEADER, self.distributions.rows())
        if baselines.previous is not None:
            yield _table(PREVIOUS_DISTRIBUTIONS, DISTRIBUTIONS_HEADER, baselines.previous.rows())
        if baselines.audits:
            yield _table(PAST_AUDITS, past_audits.HEADER, past_audits.audit_rows(baselines.audits))
        if baselines.card is not None:
            yield ReportFile(MODEL_CARD, baselines.card.to_json().encode())
        for chart in charts or ():
            for name, data, rows in chart.files():
                yield ReportFile(f"{REPORTS}/{name}", data, rows)


def distributions_of(statistics: RunStatistics, folders: FolderSurvey) -> Distributions:
    """Return the distributions of a run's images."""
    digits = tuple(tally.images for tally in folders.digits)
    return Distributions(
        statistics.scored, digits, statistics.confidences, statistics.gray_levels, statistics.ink
    )


def _tables(
    statistics: RunStatistics, manifest: Manifest, folders: FolderSurvey, names: RelativeNames
) -> Iterator[ReportFile]:
    failed = len(statistics.failures)
    yield _table(f"{REPORTS}/summary.csv", _SUMMARY_HEADER, summary_rows(folders, failed=failed))
    yield from _failure_tables(statistics, names)
    rows: Iterable[Row] = (metrics.row() for metrics in digit_metrics(statistics, folders))
    yield _table(f"{REPORTS}/digits.csv", DIGITS_HEADER, rows)
    for sample in statistics.audit:
        yield _table(AUDIT, audit_sample.HEADER, (image.row() for image in sample.images))
    if manifest.challenger is not None:
        rows = agreement.agreement_rows(statistics.agreements)
        yield _table(f"{REPORTS}/agreement.csv", agreement.AGREEMENT_HEADER, rows)


def _failure_tables(statistics: RunStatistics, names: RelativeNames) -> Iterator[ReportFile]:
    """Yield one or more files of failures, each with a bounded number of rows."""
    header = [column.name for column in failure.COLUMNS]
    rest = names.failure_rows(statistics.failures)
    files = -(-len(statistics.failures) // failure.ROWS_OF_A_FILE)
    for number in range(max(1, files)):
        yield _table(failure_table(number), header, itertools.islice(rest, failure.ROWS_OF_A_FILE))


def _field_tables(fields: RunFields) -> Iterator[ReportFile]:
    """Yield one or more files of fields, each with a bounded number of rows."""
    header = [column.name for column in prediction.FIELD_COLUMNS]
    for number, rows in enumerate(_batches((each.row() for each in fields), prediction.FIELDS_OF_A_FILE)):
        yield _table(field_table(number), header, rows)


def _batches(rows: Iterator[Row], size: int) -> Iterator[Sequence[Row]]:
    """Yield rows in batches; at least one, which may be empty."""
    yield list(itertools.islice(rows, size))
    while batch := list(itertools.islice(rows, size)):
        yield batch


def summary_rows(folders: FolderSurvey, *, failed: int) -> Iterable[Row]:
    """Yield the rows of `summary.csv`: all images, per digit, per folder, and per folder and digit.

    Failed images have no digit, so only the rows of all images and of a folder have `failed`. Folders that
    are not listed because there are very many share the rows of `other_folders`.
    """
    yield ("all", "", "", *_counts(folders.everything, failed=failed))
    for digit, tally in enumerate(folders.digits):
        yield ("digit", "", digit, *_counts(tally))
    for metrics in folders.listed:
        yield ("folder", metrics.folder, "", *_counts(metrics.tally, failed=metrics.failed))
    if folders.others is not None:
        yield ("other_folders", "", "", *_counts(folders.others.tally, failed=folders.others.failed))
    for metrics in folders.listed:
        for tally in metrics.tallies:
            yield ("folder_digit", tally.folder, tally.digit, *_counts(tally))
    for tally in folders.others.tallies if folders.others else ():
        yield ("other_folders_digit", "", tally.digit, *_counts(tally))


def _counts(tally: Tally, *, failed: int | str = "") -> Row:
    mean = tally.mean_confidence
    text = "" if mean is None else f"{mean:.6f}"
    return tally.images, failed, text, tally.accepted, tally.labeled, tally.right


def _table(name: str, header: Sequence[str], rows: Iterable[Row]) -> ReportFile:
    rest, data, count = iter(rows), io.BytesIO(), 0
    data.write(encode_csv([header]))
    # Encode in slices: rows take many times the size of the encoded file.
    while some := list(itertools.islice(rest, _SLICE_ROWS)):
        data.write(encode_csv(some))
        count += len(some)
    return ReportFile(name, data.getvalue(), count)
