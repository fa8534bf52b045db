"""The run's page: one self-contained HTML file that opens from disk and needs no network."""

import dataclasses
from collections.abc import Sequence

import jinja2

from pipelines.charts import confidence_histogram
from pipelines.names import readable
from pipelines.statistics import RunStatistics, total_confidence
from schemas.accuracy import Accuracy, percent
from schemas.digit import CLASSES
from schemas.failure import FailureCode
from schemas.manifest import Manifest
from schemas.prediction import NO_LABEL

_FAILURES_SHOWN = 50


@dataclasses.dataclass(frozen=True)
class _DigitRow:
    """One digit's line in the page."""

    digit: int
    scored: int
    share: float
    confidence: float | None
    precision: Accuracy | None
    recall: Accuracy | None


def render_page(statistics: RunStatistics, manifest: Manifest) -> str:
    """Returns the page's HTML; every name in it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipelines"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"readable": readable, "thousands": "{:,}".format, "percent": _percent}
    return environment.get_template("report.html").render(
        manifest=manifest,
        statistics=statistics,
        digits=_digit_rows(statistics),
        heat=_heat(statistics.confusion),
        histogram=confidence_histogram(statistics.confidences, accept=_threshold(manifest)),
        failures=statistics.failures[:_FAILURES_SHOWN],
        meanings={code.value: code.meaning for code in FailureCode},
        no_label=NO_LABEL,
    )


def _percent(share: float) -> str:
    # A line break between number and sign would be read as two things.
    return percent(share).replace(" ", "\N{NO-BREAK SPACE}")


def _threshold(manifest: Manifest) -> float:
    return float(manifest.options["accept_threshold"] or 0)


def _digit_rows(statistics: RunStatistics) -> list[_DigitRow]:
    rows = []
    for digit in range(CLASSES):
        tallies = [tally for tally in statistics.tallies if tally.digit == digit]
        scored = sum(tally.images for tally in tallies)
        rows.append(
            _DigitRow(
                digit=digit,
                scored=scored,
                share=scored / statistics.scored if statistics.scored else 0.0,
                confidence=total_confidence(tallies) / scored if scored else None,
                precision=_rate(statistics.confusion, digit, [row[digit] for row in statistics.confusion]),
                recall=_rate(statistics.confusion, digit, statistics.confusion[digit]),
            )
        )
    return rows


def _rate(confusion: Sequence[Sequence[int]], digit: int, among: Sequence[int]) -> Accuracy | None:
    return Accuracy(confusion[digit][digit], sum(among)) if sum(among) else None


def _heat(confusion: Sequence[Sequence[int]]) -> list[list[float]]:
    """Returns each cell's shade in [0, 1]: its share of the label's images, its square root.

    The root lets a handful of mistakes among thousands of right answers be seen.
    """
    return [[(count / max(1, sum(row))) ** 0.5 for count in row] for row in confusion]
