"""Overview of several nights: one page about many scoring runs, made from their manifests."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Self

from markupsafe import Markup

from digitmill.reports.charts.chart import Caption, Chart
from digitmill.reports.charts.curves import curves
from digitmill.reports.html_page import render
from digitmill.reports.numbers import NONE, Cell, count_cell, duration, money, share, share_cell, thousands
from pipelines.report.drift import LARGE
from pipelines.report.running_audit import RunningAudit
from pipelines.report.scoring_page import cost_of, wall_seconds
from schemas.checks.audit import Audit
from schemas.manifest import Manifest, Status
from schemas.model.accuracy import Accuracy


@dataclasses.dataclass(frozen=True)
class Night:
    """What the page says about one run: a few numbers from its manifest.

    Attributes:
        name: name of the run's folder.
        link: link from the page to the run's report.
        began: when the run began, ISO 8601 in UTC.
        over_budget: whether more images failed than the run allows.
        listed: images of the run, including those that an earlier run has scored.
        accepted: scored images that were accepted.
        failures: failed images by code, without zeros.
        accuracy: accuracy on the labeled images; None if there are none.
        audit: what people found in the sample of accepted images; None without an audit.
        drift: drift from the model's training set, and from the previous run; None if unknown.
        seconds: wall time of the last launcher; None if unknown.
        cost: estimated cost; None without a price.
    """

    name: str
    link: str
    began: str
    over_budget: bool
    listed: int
    scored: int
    failed: int
    accepted: int
    failures: dict[str, int]
    accuracy: Accuracy | None
    audit: Audit | None
    drift: float | None
    drift_from_previous: float | None
    seconds: float | None
    cost: float | None

    @classmethod
    def of(cls, manifest: Manifest, *, name: str, link: str, audit: Audit | None = None) -> Self:
        """Return the night of a run from its manifest and its audit, if there is one."""
        counts = manifest.counts
        return cls(
            name=name,
            link=link,
            began=str(manifest.times.get("begun", manifest.times["started"])),
            over_budget=manifest.status == Status.OVER_BUDGET,
            listed=counts.listed,
            scored=counts.scored,
            failed=counts.failed,
            accepted=manifest.accepted,
            failures={code: count for code, count in manifest.failures.items() if count},
            accuracy=manifest.accuracy,
            audit=audit,
            drift=manifest.drift,
            drift_from_previous=manifest.drift_from_previous,
            seconds=wall_seconds(manifest),
            cost=cost_of(manifest),
        )

    def row(self) -> tuple[object, ...]:
        """Return the night's row in `nights.csv`, with the columns of `CSV_HEADER`."""
        found = self.audit
        audited = (found.labeled, found.wrong) if found else ("", "")
        numbers = (self.audit_error, self.drift, self.drift_from_previous, self.seconds, self.cost)
        known = self.accuracy
        counts = (self.listed, self.scored, self.failed, self.accepted)
        labeled = (known.images, known.right) if known else (0, 0)
        written = ("" if number is None else f"{number:.6f}" for number in numbers)
        return (self.name, self.began, *counts, *labeled, *audited, *written)

    @property
    def audit_error(self) -> float | None:
        """Share of wrong predictions in the audited sample; None without an audit."""
        return self.audit.error_rate if self.audit else None

    @property
    def accepted_share(self) -> float | None:
        """Share of the scored images that were accepted."""
        return self.accepted / self.scored if self.scored else None

    @property
    def failed_share(self) -> float | None:
        """Share of the images that failed, not counting skipped ones."""
        tried = self.scored + self.failed
        return self.failed / tried if tried else None


CSV_HEADER: Final = (
    "night", "began", "listed", "scored", "failed", "accepted", "labeled", "right",
    "audited", "audited_wrong", "audit_error", "drift", "drift_from_previous", "seconds", "cost",
)  # fmt: skip
"""Columns of `nights.csv`."""

Nights = Sequence[Night]


def _optional(value: float | None, write: Callable[[float], str]) -> Cell:
    return (NONE if value is None else write(value)), value


_COLUMNS: Final[dict[str, Callable[[Night], Cell]]] = {
    "Images": lambda night: count_cell(night.listed),
    "Scored": lambda night: count_cell(night.scored),
    "Failed": lambda night: count_cell(night.failed),
    "Accepted": lambda night: share_cell(night.accepted_share, 1),
    "Accuracy": lambda night: share_cell(night.accuracy.value if night.accuracy else None),
    "Audited": lambda night: _optional(night.audit.labeled if night.audit else None, thousands),
    "Wrong of these": lambda night: share_cell(night.audit_error),
    "Drift": lambda night: _optional(night.drift, "{:.3f}".format),
    "From previous": lambda night: _optional(night.drift_from_previous, "{:.3f}".format),
    "Time": lambda night: _optional(night.seconds, duration),
    "Cost": lambda night: _optional(night.cost, money),
}
"""Columns of the table, with functions that return a night's cell; empty columns are left out."""


def render_nights(nights: Nights, *, unfinished: Sequence[str] = ()) -> str:
    """Return the page's HTML, with all texts escaped.

    Args:
        nights: at least one, oldest first.
        unfinished: folder names of runs without a manifest.
    """
    newest = [*enumerate(nights, 1)][::-1]
    made = {title: [make(night) for _, night in newest] for title, make in _COLUMNS.items()}
    columns = {title: cells for title, cells in made.items() if any(value is not None for _, value in cells)}
    audited = RunningAudit.of([night.audit for night in nights if night.audit])
    codes = sorted({code for night in nights for code in night.failures})
    return render(
        "pipelines.report",
        "nights.html",
        nights=nights,
        unfinished=unfinished,
        over_budget=[night.name for night in nights if night.over_budget],
        shifted=[night.name for night in nights if (night.drift or 0) >= LARGE],
        facts=[*_facts(nights), *([audited.fact()] if audited else [])],
        audited=audited,
        columns=["Night", "No.", *columns],
        rows=[
            [(_link(night), None), count_cell(number), *cells]
            for (number, night), *cells in zip(newest, *columns.values(), strict=True)
        ],
        codes=["Night", *codes],
        failures=[
            [(_link(night), None), *(count_cell(night.failures.get(code, 0)) for code in codes)]
            for _, night in newest
            if night.failures
        ],
        charts=list(_charts(nights)),
    )


def _link(night: Night) -> Markup:
    return Markup('<a href="{}">{}</a>').format(night.link, night.name)


def _facts(nights: Nights) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and note of each fact at the top of the page."""
    scored, failed = sum(night.scored for night in nights), sum(night.failed for night in nights)
    yield "Scored", f"{scored:,}", "images in all nights"
    yield "Failed", f"{failed:,}", share(failed / (scored + failed) if scored + failed else None)
    yield "Accepted", share(sum(n.accepted for n in nights) / scored if scored else None, 1), "of the scored"
    if known := [night.accuracy for night in nights if night.accuracy]:
        right, images = sum(each.right for each in known), sum(each.images for each in known)
        yield "Accuracy", share(right / images), f"on {images:,} labeled images"
    drifts = [night for night in nights if night.drift is not None]
    if drifts:
        highest = max(drifts, key=lambda night: night.drift or 0)
        yield "Drift", f"{drifts[-1].drift:.3f}", f"of the last night; at most {highest.drift:.3f}"
    seconds = [night.seconds for night in nights if night.seconds is not None]
    if seconds:
        yield "Time", duration(sum(seconds) / len(seconds)), "a night, on average"
    if costs := [night.cost for night in nights if night.cost is not None]:
        yield "Cost", money(sum(costs)), f"{money(sum(costs) / len(costs))} a night, on average"


def _charts(nights: Nights) -> Iterator[Chart]:
    """Yield a chart of each figure that at least one night has; nothing for a single night."""
    if len(nights) > 1:
        for name, (title, reading, series) in _CHARTS.items():
            values = {label: [value(night) for night in nights] for label, value in series.items()}
            known = {label: row for label, row in values.items() if any(each is not None for each in row)}
            if known:
                texts = Caption(name=name, title=title, reading=reading)
                yield curves(known, xlabel="night", **_DRAWN[name], **texts)


_CHARTS: Final[dict[str, tuple[str, str, dict[str, Callable[[Night], float | None]]]]] = {
    "volume": (
        "Volume",
        "Images that were scored, and that failed.",
        {"scored": lambda night: night.scored, "failed": lambda night: night.failed},
    ),
    "accepted": (
        "Accepted",
        "Share of the scored images that were accepted: the others wait for reviewers.",
        {
            "accepted": lambda night: night.accepted_share,
            "right, of the labeled": lambda night: night.accuracy.value if night.accuracy else None,
        },
    ),
    "audit": (
        "Audit",
        "Share of wrong answers among accepted images, in the sample that people have labeled.",
        {"wrong of the accepted": lambda night: night.audit_error},
    ),
    "failed": ("Failed", "Share of the images that failed.", {"failed": lambda night: night.failed_share}),
    "drift": (
        "Drift",
        f"The largest stability index of each night; from {LARGE} on it is a large shift.",
        {
            "from training": lambda night: night.drift,
            "from the previous run": lambda night: night.drift_from_previous,
        },
    ),
    "minutes": (
        "Time",
        "Wall time of the last launcher.",
        {"wall time": lambda night: None if night.seconds is None else night.seconds / 60},
    ),
    "cost": ("Cost", "Wall time by the price of an hour.", {"cost": lambda night: night.cost}),
}
"""Title, caption and series of each chart."""

_DRAWN: Final[dict[str, Any]] = {
    "volume": {"ylabel": "images", "counts": True, "bottom": 0},
    "accepted": {"ylabel": "share", "shares": True},
    "audit": {"ylabel": "share", "shares": True, "bottom": 0},
    "failed": {"ylabel": "share", "shares": True, "bottom": 0},
    "drift": {"ylabel": "index", "bottom": 0},
    "minutes": {"ylabel": "minutes", "bottom": 0},
    "cost": {"ylabel": "cost", "bottom": 0},
}
"""How each chart is drawn."""
