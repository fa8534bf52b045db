"""The report page of a scoring run: collects the contents of its template `run.html`."""

import datetime
import itertools
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from digitmill.default_model import SHIPPED, SHIPPED_MODEL
from digitmill.reports.card_text import Rows, source_rows, training_images
from digitmill.reports.html_page import render
from digitmill.reports.numbers import NONE, duration, money, share, thousands, threshold
from digitmill.storage.names import readable
from digitmill.storage.patterns import has_magic, split_pattern
from pipelines.fields.run_fields import LIST_FIELDS, RunFields
from pipelines.history.past_runs import MERGED, NEWEST
from pipelines.report import again, class_metrics, scoring_galleries
from pipelines.report.challenger_comparison import ChallengerComparison
from pipelines.report.class_metrics import FolderSurvey
from pipelines.report.drift import DriftComparison
from pipelines.report.originals import ImageLinks
from pipelines.report.running_audit import RunningAudit
from pipelines.report.scoring_charts import RunCharts
from pipelines.statistics.item_statistics import RunStatistics
from schemas.errors import counted
from schemas.failure import ROWS_OF_A_FILE, FailureCode
from schemas.manifest import Manifest
from schemas.model.model_card import ModelCard
from schemas.model.trust import NotDigits, SourceTrust, Trust

_MAX_FAILURES: Final = 50

_HIDDEN_OPTIONS: Final = frozenset(
    ("challenger", "input_list_digest", "labels_digest", LIST_FIELDS, MERGED, NEWEST)
)
"""Options that are digests; the page describes them in words elsewhere."""


def render_page(
    statistics: RunStatistics,
    manifest: Manifest,
    *,
    folders: FolderSurvey,
    charts: RunCharts | None,
    comparisons: list[DriftComparison],
    card: ModelCard | None = None,
    audited: RunningAudit | None = None,
    fields: RunFields | None = None,
    tables: Sequence[str] = (),
    links: ImageLinks = ImageLinks(),  # noqa: B008 - frozen
) -> str:
    """Return the page's HTML, with all names escaped.

    Args:
        statistics: the run's statistics.
        manifest: the run's manifest.
        folders: the statistics by folder.
        charts: the charts; None for a page without charts.
        comparisons: drift against each reference.
        card: the model's card; None if unknown.
        audited: the audits of earlier runs; None if there are none.
        fields: the fields that digits were joined into; None for a run without fields.
        tables: names of the report's other files in the output.
        links: makes links from the page to images.
    """
    labeled, metrics = bool(statistics.labeled), class_metrics.digit_metrics(statistics, folders)
    facts = [*_facts(manifest), *([audited.fact(of="earlier")] if audited else [])]
    return render(
        "pipelines.report",
        "run.html",
        manifest=manifest,
        statistics=statistics,
        title=run_title(manifest),
        model=model_name(str(manifest.model.get("path", ""))) or manifest.model["recipe"],
        finished=_format_time(manifest.times["finished"]),
        facts=facts,
        audited=audited,
        charts=charts,
        comparisons=comparisons,
        digits=[row.cells(labeled=labeled, scored=statistics.scored) for row in metrics],
        digit_columns=class_metrics.digit_columns(labeled=labeled),
        **_folders(folders, links, labeled=labeled),
        **_pictures(statistics, manifest, links),
        challenger_comparison=ChallengerComparison.of(statistics.agreements),
        failure_files="s*" if manifest.counts.failed > ROWS_OF_A_FILE else "s",
        failures=[
            (readable(failure.image), failure.code, failure.detail, links.to(failure.image))
            for failure in itertools.islice(statistics.failures, _MAX_FAILURES)
        ],
        fields=fields,
        meanings={code.value: code.meaning for code in FailureCode},
        known=known_by_source(manifest, card),
        tables=tables,
        ran=list(_provenance(manifest, card)),
        commands=again.commands(manifest),
        has_review=again.has_review(manifest),
    )


def _folders(folders: FolderSurvey, links: ImageLinks, *, labeled: bool) -> dict[str, Any]:
    """Return the table of folders as template variables."""
    worst = folders.worst()
    return {
        "folders": [list(rate.cells(labeled=labeled)) for rate in worst],
        "folder_links": [links.to(rate.folder) for rate in worst],
        "folder_columns": class_metrics.folder_columns(labeled=labeled),
        "folder_count": folders.count,
        "folder_note": folders.note(),
    }


def _pictures(statistics: RunStatistics, manifest: Manifest, links: ImageLinks) -> dict[str, Any]:
    """Return the galleries of the page as template variables."""
    return {
        "galleries": list(scoring_galleries.review_galleries(statistics, links)),
        "by_digit": scoring_galleries.samples_by_digit(statistics, links),
        "confused": scoring_galleries.confused_galleries(statistics, links),
        "kinds": scoring_galleries.failure_gallery(statistics, manifest.failures, links),
        "disagreements": scoring_galleries.disagreement_gallery(statistics, links),
    }


def run_title(manifest: Manifest) -> str:
    """Return a title that identifies the run among many: the input's name and the date."""
    finished = datetime.datetime.fromisoformat(str(manifest.times["finished"]))
    name = _input_name(manifest.inputs, manifest.launched.get("folder", ""))
    return f"{name}, {finished.day} {finished:%B %Y}"


def _input_name(inputs: Sequence[str], folder: str) -> str:
    """Return the last part of the first input's name, without a pattern, and the number of other inputs."""
    if not inputs:
        return "No input"
    first = split_pattern(inputs[0])[0] if has_magic(inputs[0]) else inputs[0]
    if "://" not in first:
        first = posixpath.normpath(posixpath.join(folder, first))
    name = readable(first).rstrip("/").rpartition("/")[2] or first
    return name if len(inputs) == 1 else f"{name} and {len(inputs) - 1} more"


def model_name(path: str) -> str:
    """Return a bundle's readable name: its last folder not called `bundle`; empty for the shipped model."""
    parts = [part for part in path.rstrip("/").split("/") if part not in ("", ".", "bundle")]
    return "" if not parts or path in (SHIPPED, str(SHIPPED_MODEL)) else parts[-1]


def known_by_source(manifest: Manifest, card: ModelCard | None) -> Rows:
    """Return a header, a row for this run, and a row for each source of the model's test images."""
    if card is None or card.trust is None or not manifest.counts.scored:
        return []
    sources = card.trust.sources.get("test") or {"its test images": _test_images(card, card.trust)}
    names = {found.source: found.name for found in card.data_sources if found.name}
    header, *rows = source_rows({names.get(name, name): found for name, found in sources.items()})
    right = manifest.accuracy.value if manifest.accuracy else None
    sure = manifest.accepted_right / manifest.accepted_labeled if manifest.accepted_labeled else None
    accepted = manifest.accepted / manifest.counts.scored
    counts = thousands(manifest.counts.scored), share(right), share(accepted), share(sure)
    return [header, ("this run", *counts, NONE, NONE), *rows]


def _test_images(card: ModelCard, trust: Trust) -> SourceTrust:
    accepted, test = trust.accepted_test, card.test_accuracy
    return SourceTrust(test.images, test.right, accepted.accepted, accepted.right, NotDigits(0, 0))


def wall_seconds(manifest: Manifest) -> float | None:
    """Return the seconds between the start and the end of the last launcher; None if unknown."""
    try:
        started, finished = (
            datetime.datetime.fromisoformat(str(manifest.times[name])) for name in ("started", "finished")
        )
    except (KeyError, ValueError):
        return None
    # The clock may have been set back in between.
    return max(0.0, (finished - started).total_seconds())


def cost_of(manifest: Manifest) -> float | None:
    """Return the estimated cost of the last launcher; None without a price."""
    price, wall = manifest.options.get("price_per_hour"), wall_seconds(manifest)
    return None if price is None or wall is None else float(price) * wall / 3600


def _facts(manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and note of each fact at the top of the page."""
    counts, accuracy = manifest.counts, manifest.accuracy
    if accuracy is not None:
        low, high = accuracy.interval
        interval = f"95\N{NO-BREAK SPACE}% interval {share(low)} to {share(high)}"
        yield "Accuracy", share(accuracy.value), interval
    if counts.scored:
        accepted, at = manifest.accepted, threshold(manifest.accept_threshold)
        review = counts.scored - accepted
        note = f"{thousands(accepted)}, confidence of {at} or more"
        yield "Accepted", share(accepted / counts.scored, 1), note
        note = f"{thousands(review)}, confidence below {at}"
        if manifest.not_digits:
            note += f"; {thousands(manifest.not_digits)} of them no digit"
        yield "For review", share(review / counts.scored, 1), note
    note = "each with a reason below" if counts.failed else "no image was lost"
    yield "Failed", thousands(counts.failed), note
    pipeline = duration(float(manifest.times["pipeline_seconds"]))
    if manifest.times["images"]:
        yield "Speed", thousands(manifest.images_per_second), f"images/s over {pipeline} of pipeline"
    wall = wall_seconds(manifest)
    if wall is not None:
        yield "Wall time", duration(wall), "of the last launcher, in total"
    price, cost = manifest.options.get("price_per_hour"), cost_of(manifest)
    if price is not None and cost is not None:
        images = float(manifest.times["images"])
        each = f", {money(cost / images * 1e6)} a million images" if images else ""
        yield "Estimated cost", money(cost), f"at {money(float(price))} an hour{each}"


def _provenance(manifest: Manifest, card: ModelCard | None) -> Iterator[tuple[str, str]]:
    """Yield title and text of each row of the provenance table."""
    options = {
        name: value
        for name, value in manifest.options.items()
        if value not in (None, "", [], ()) and name not in _HIDDEN_OPTIONS
    }
    yield "Model", _describe_model(manifest.model)
    if card is not None:
        yield "Its card", _describe_card(card)
    if manifest.challenger:
        yield "Challenger", _describe_model(manifest.challenger)
    yield "Engine", f"{options.pop('engine')}: {options.pop('engine_reason')}"
    yield "Inputs", ", ".join(manifest.inputs)
    yield "Labels", str(options.pop("labels", "none"))
    words = ((name.replace("_", " "), _in_words(value)) for name, value in options.items())
    yield "Options", _join_pairs(words)
    yield "Began", _format_time(manifest.times.get("begun", manifest.times["started"]))
    yield "Finished", _format_time(manifest.times["finished"])
    yield "Versions", _join_pairs(manifest.versions.items())


def _in_words(value: object) -> object:
    """Return an option's value as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else value


def _format_time(time: object) -> str:
    """Return a time from the manifest, to the second."""
    return str(time)[:19].replace("T", " ") + " UTC"


def _describe_model(model: Mapping[str, object]) -> str:
    return f"{model.get('path', 'a bundle')}, recipe {model['recipe']}, digest {str(model['digest'])[:16]}"


def _describe_card(card: ModelCard) -> str:
    return (
        f"test accuracy {card.test_accuracy}; trained on {card.data}, {training_images(card)}, "
        f"{counted(card.epochs, 'epoch')}, seed {card.seed}; temperature {card.temperature:.3f}"
    )


def _join_pairs(pairs: Iterable[tuple[str, object]]) -> str:
    return ", ".join(f"{name} {value}" for name, value in pairs)
