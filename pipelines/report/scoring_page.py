"""A run's page: gathers what its template shows."""

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from digitmill.reports.charts.acceptance import Explorer
from digitmill.reports.charts.chart import Chart
from digitmill.reports.charts.distributions import confidence_histogram
from digitmill.reports.charts.matrices import Matrix
from digitmill.reports.html_page import render
from digitmill.reports.numbers import NONE, duration, money, share, thousands, threshold
from digitmill.storage.names import readable
from pipelines.report import class_metrics, drift, scoring_charts, scoring_galleries
from pipelines.report.challenger_comparison import Duel
from pipelines.report.drift import Drift, Spread
from pipelines.report.drift_words import NAMES, sentence, verdict
from pipelines.statistics.item_statistics import RunStatistics
from schemas.failure import FailureCode
from schemas.manifest import Manifest
from schemas.model.model_card import ModelCard

_FAILURES_SHOWN: Final = 50

_UNSAID: Final = frozenset(("challenger", "input_list_digest", "labels_digest", "merged"))
"""Options that say in digests what the page says in words."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A run's images held against others.

    Attributes:
        whose: what those are: "the training set".
        drifts: a shift for each measure.
        said: what they mean.
    """

    whose: str
    drifts: tuple[Drift, ...]
    said: str

    @property
    def shift(self) -> str:
        """The gravest shift."""
        return drift.worst(self.drifts).value

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yields what each measure is called, its index, and what that means."""
        for found in self.drifts:
            index = NONE if found.index is None else f"{found.index:.3f}"
            yield NAMES[found.measure], index, verdict(found)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What of a run is drawn, for page and disk; None where there is nothing to draw.

    Attributes:
        confidence: histogram of the confidences.
        explorer: accuracy-coverage curve.
        reliability: confidence against accuracy.
        confusion: true by predicted digit.
        agreement: the model's digit by the challenger's.
        spreads: distributions beside those that the run is held against.
    """

    confidence: Chart
    explorer: Explorer | None
    reliability: Chart | None
    confusion: Matrix | None
    agreement: Matrix | None
    spreads: tuple[Chart, ...]

    def charts(self) -> Iterator[Chart]:
        """Yields all of them."""
        framed = (self.explorer, self.confusion, self.agreement)
        yield self.confidence
        yield from (found.chart for found in framed if found is not None)
        yield from filter(None, (self.reliability, *self.spreads))


def draw(statistics: RunStatistics, manifest: Manifest, *, here: Spread, others: dict[str, Spread]) -> Drawn:
    """Draws a run.

    Args:
        statistics: the run's.
        manifest: the run's.
        here: how its images are spread.
        others: what they are held against, by its name in a legend.
    """
    accept = accept_threshold(manifest)
    return Drawn(
        confidence=confidence_histogram(statistics.confidences, accept=accept),
        explorer=scoring_charts.explorer(statistics, accept=accept),
        reliability=scoring_charts.reliability(statistics),
        confusion=scoring_charts.confusion(statistics),
        agreement=scoring_charts.agreement(statistics) if manifest.challenger else None,
        spreads=tuple(scoring_charts.spreads(here, others)) if others else (),
    )


def comparisons(here: Spread, others: Mapping[str, Spread]) -> list[Comparison]:
    """Returns what a run is held against, and what comes of it."""
    found = []
    for name, there in others.items():
        drifts, whose = drift.compare(here, there), f"the {name} set" if name == "training" else f"the {name}"
        found.append(Comparison(whose, drifts, sentence(drifts, here, there, whose=whose)))
    return found


def render_page(
    statistics: RunStatistics,
    manifest: Manifest,
    *,
    drawn: Drawn,
    compared: list[Comparison],
    card: ModelCard | None = None,
) -> str:
    """Returns the page's HTML; every name in it is escaped.

    Args:
        statistics: the run's.
        manifest: the run's.
        drawn: its charts.
        compared: what it is held against.
        card: the model's, where it is known.
    """
    labelled = bool(statistics.labelled)
    folders = class_metrics.folder_rates(statistics)
    return render(
        "pipelines.report",
        "run.html",
        manifest=manifest,
        statistics=statistics,
        finished=_moment(manifest.times["finished"]),
        facts=list(_facts(manifest)),
        drawn=drawn,
        compared=compared,
        digits=[
            row.cells(labelled=labelled, scored=statistics.scored)
            for row in class_metrics.digit_rates(statistics)
        ],
        digit_columns=class_metrics.digit_columns(labelled=labelled),
        folders=[list(rate.cells(labelled=labelled)) for rate in class_metrics.folders_to_show(folders)],
        folder_columns=class_metrics.folder_columns(labelled=labelled),
        folder_count=len(folders),
        galleries=list(scoring_galleries.galleries(statistics)),
        by_digit=scoring_galleries.by_digit(statistics),
        kinds=scoring_galleries.failure_kinds(statistics, manifest.failures),
        disagreements=scoring_galleries.disagreements(statistics),
        duel=Duel.of(statistics.agreements),
        failures=[
            (readable(failure.image), failure.code, failure.detail)
            for failure in statistics.failures[:_FAILURES_SHOWN]
        ],
        meanings={code.value: code.meaning for code in FailureCode},
        ran=list(_ran(manifest, card)),
        commands=commands(manifest),
    )


def accept_threshold(manifest: Manifest) -> float:
    """Returns the confidence from which the run accepted."""
    return float(manifest.options["accept_threshold"] or 0)


def commands(manifest: Manifest) -> dict[str, str]:
    """Returns the command that does the same again, and the one that goes on with it; by their titles."""
    if not manifest.command:
        return {}
    resume = manifest.command if " --resume" in manifest.command else f"{manifest.command} --resume"
    return {"To do the same again, into a new output": manifest.command, "To go on with this run": resume}


def wall_seconds(manifest: Manifest) -> float | None:
    """Returns the seconds from the last launcher's start to the end of its pipeline; None if unknown."""
    try:
        started, finished = (
            datetime.datetime.fromisoformat(str(manifest.times[name])) for name in ("started", "finished")
        )
    except (KeyError, ValueError):
        return None
    return (finished - started).total_seconds()


def _facts(manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    """Yields name, value and note of each fact at the top."""
    counts, accuracy = manifest.counts, manifest.accuracy
    if accuracy is not None:
        low, high = accuracy.interval
        interval = f"95\N{NO-BREAK SPACE}% interval {share(low)} to {share(high)}"
        yield "Accuracy", share(accuracy.value), interval
    if counts.scored:
        accepted, at = manifest.accepted, threshold(accept_threshold(manifest))
        review = counts.scored - accepted
        said = f"{thousands(accepted)}, confidence of {at} or more"
        yield "Accepted", share(accepted / counts.scored, 1), said
        yield "For review", share(review / counts.scored, 1), f"{thousands(review)}, confidence below {at}"
    note = "each with a reason below" if counts.failed else "no image was lost"
    yield "Failed", thousands(counts.failed), note
    pace = float(manifest.times["pipeline_seconds"])
    yield "Speed", thousands(manifest.images_per_second), f"images/s over {duration(pace)} of pipeline"
    wall = wall_seconds(manifest)
    if wall is not None:
        yield "Wall time", duration(wall), "of the last launcher, all in all"
    price = manifest.options.get("price_per_hour")
    if price is not None and wall is not None:
        cost, images = float(price) * wall / 3600, float(manifest.times["images"])
        each = f", {money(cost / images * 1e6)} a million images" if images else ""
        yield "Estimated cost", money(cost), f"at {money(float(price))} an hour{each}"


def _ran(manifest: Manifest, card: ModelCard | None) -> Iterator[tuple[str, str]]:
    """Yields what ran, by what it is called."""
    options = {
        name: value for name, value in manifest.options.items() if value is not None and name not in _UNSAID
    }
    yield "Model", _model(manifest.model)
    if card is not None:
        yield "Its card", _card(card)
    if manifest.challenger:
        yield "Challenger", _model(manifest.challenger)
    yield "Engine", f"{options.pop('engine')}: {options.pop('engine_reason')}"
    yield "Inputs", ", ".join(manifest.inputs)
    yield "Labels", str(options.pop("labels", "none"))
    yield "Options", _listed((name.replace("_", " "), value) for name, value in options.items())
    yield "Began", _moment(manifest.times.get("begun", manifest.times["started"]))
    yield "Finished", _moment(manifest.times["finished"])
    yield "Versions", _listed(manifest.versions.items())


def _moment(time: object) -> str:
    """Returns a manifest's time without fractions of a second."""
    return str(time)[:19].replace("T", " ") + " UTC"


def _model(model: Mapping[str, object]) -> str:
    return f"{model.get('path', 'a bundle')}, recipe {model['recipe']}, digest {str(model['digest'])[:16]}"


def _card(card: ModelCard) -> str:
    return (
        f"test accuracy {card.test_accuracy}; trained on {card.data}, {sum(card.class_counts):,} images, "
        f"{card.epochs:,} epochs, seed {card.seed}; temperature {card.temperature:.3f}"
    )


def _listed(pairs: Iterable[tuple[str, object]]) -> str:
    return ", ".join(f"{name} {value}" for name, value in pairs)
