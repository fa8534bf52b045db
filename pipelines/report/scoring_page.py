"""The report page of a scoring run: collects what its template `run.html` shows."""

import datetime
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from digitmill.reports.card_text import training_images
from digitmill.reports.html_page import render
from digitmill.reports.numbers import duration, money, share, thousands, threshold
from digitmill.storage.names import readable
from pipelines.fields.run_fields import LIST_FIELDS, RunFields
from pipelines.history.past_runs import MERGED, NEWEST
from pipelines.report import class_metrics, scoring_galleries
from pipelines.report.challenger_comparison import ChallengerComparison
from pipelines.report.class_metrics import FolderSurvey
from pipelines.report.drift import DriftComparison
from pipelines.report.running_audit import RunningAudit
from pipelines.report.scoring_charts import RunCharts
from pipelines.statistics.item_statistics import RunStatistics
from schemas.failure import ROWS_OF_A_FILE, FailureCode
from schemas.manifest import Manifest
from schemas.model.model_card import ModelCard

_MAX_FAILURES: Final = 50

_HIDDEN_OPTIONS: Final = frozenset(
    ("challenger", "input_list_digest", "labels_digest", LIST_FIELDS, MERGED, NEWEST)
)
"""Options whose digests the page shows in words elsewhere."""


def render_page(
    statistics: RunStatistics,
    manifest: Manifest,
    *,
    folders: FolderSurvey,
    charts: RunCharts,
    comparisons: list[DriftComparison],
    card: ModelCard | None = None,
    audited: RunningAudit | None = None,
    fields: RunFields | None = None,
) -> str:
    """Return the page's HTML, with every name in it escaped; `comparisons` are with each reference."""
    labelled, metrics = bool(statistics.labelled), class_metrics.digit_metrics(statistics, folders)
    return render(
        "pipelines.report",
        "run.html",
        manifest=manifest,
        statistics=statistics,
        finished=_format_time(manifest.times["finished"]),
        facts=[*_facts(manifest), *([audited.fact(of="earlier")] if audited else [])],
        audited=audited,
        charts=charts,
        comparisons=comparisons,
        digits=[row.cells(labelled=labelled, scored=statistics.scored) for row in metrics],
        digit_columns=class_metrics.digit_columns(labelled=labelled),
        folders=[list(rate.cells(labelled=labelled)) for rate in folders.worst()],
        folder_columns=class_metrics.folder_columns(labelled=labelled),
        folder_count=folders.count,
        folder_note=folders.note(),
        galleries=list(scoring_galleries.review_galleries(statistics)),
        by_digit=scoring_galleries.samples_by_digit(statistics),
        kinds=scoring_galleries.failure_gallery(statistics, manifest.failures),
        disagreements=scoring_galleries.disagreement_gallery(statistics),
        challenger_comparison=ChallengerComparison.of(statistics.agreements),
        failure_files="s*" if manifest.counts.failed > ROWS_OF_A_FILE else "s",
        failures=[
            (readable(failure.image), failure.code, failure.detail)
            for failure in itertools.islice(statistics.failures, _MAX_FAILURES)
        ],
        fields=fields,
        meanings={code.value: code.meaning for code in FailureCode},
        ran=list(_provenance(manifest, card)),
        commands=rerun_commands(manifest),
    )


def rerun_commands(manifest: Manifest) -> dict[str, str]:
    """Return the commands that repeat and that resume the run, by their titles."""
    if not manifest.command:
        return {}
    resume = manifest.command if " --resume" in manifest.command else f"{manifest.command} --resume"
    return {"Repeat into a new output": manifest.command, "Resume this run": resume}


def wall_seconds(manifest: Manifest) -> float | None:
    """Return the seconds between the start and the end of the last launcher; None if unknown."""
    try:
        started, finished = (
            datetime.datetime.fromisoformat(str(manifest.times[name])) for name in ("started", "finished")
        )
    except (KeyError, ValueError):
        return None
    # A clock may have been set back meanwhile.
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
    """Yield title and text of each row of the table of what ran."""
    options = {
        name: value
        for name, value in manifest.options.items()
        if value is not None and name not in _HIDDEN_OPTIONS
    }
    yield "Model", _describe_model(manifest.model)
    if card is not None:
        yield "Its card", _describe_card(card)
    if manifest.challenger:
        yield "Challenger", _describe_model(manifest.challenger)
    yield "Engine", f"{options.pop('engine')}: {options.pop('engine_reason')}"
    yield "Inputs", ", ".join(manifest.inputs)
    yield "Labels", str(options.pop("labels", "none"))
    yield "Options", _join_pairs((name.replace("_", " "), value) for name, value in options.items())
    yield "Began", _format_time(manifest.times.get("begun", manifest.times["started"]))
    yield "Finished", _format_time(manifest.times["finished"])
    yield "Versions", _join_pairs(manifest.versions.items())


def _format_time(time: object) -> str:
    """Return a time of the manifest, to the second."""
    return str(time)[:19].replace("T", " ") + " UTC"


def _describe_model(model: Mapping[str, object]) -> str:
    return f"{model.get('path', 'a bundle')}, recipe {model['recipe']}, digest {str(model['digest'])[:16]}"


def _describe_card(card: ModelCard) -> str:
    return (
        f"test accuracy {card.test_accuracy}; trained on {card.data}, {training_images(card)}, "
        f"{card.epochs:,} epochs, seed {card.seed}; temperature {card.temperature:.3f}"
    )


def _join_pairs(pairs: Iterable[tuple[str, object]]) -> str:
    return ", ".join(f"{name} {value}" for name, value in pairs)
