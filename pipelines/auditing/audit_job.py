"""The job of `digitmill audit`: compares the sample of accepted images with what people have seen."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from digitmill.confidence.exact_bounds import exact_interval, images_needed
from digitmill.reports.csv_table import read_csv
from digitmill.storage import OutputFolder, open_folder
from digitmill.storage.names import printable, split_page, uri_in
from pipelines.auditing.audit_options import AuditOptions
from pipelines.history.past_runs import PastRun, open_finished_run
from pipelines.listing.true_labels import LabelsFile
from pipelines.report.rebuilding import find_card
from schemas.checks import audit
from schemas.checks.audit import Audit, Verdict
from schemas.digit import NOT_A_DIGIT
from schemas.errors import ExitCode, UserError
from schemas.layout import AUDIT
from schemas.model.accuracy import percent
from schemas.model.trust import DELTA

_VERDICTS: Final = {
    Verdict.KEPT: "kept: so few errors show it",
    Verdict.BROKEN: "broken: more are wrong than chance explains",
    Verdict.UNDECIDED: "not contradicted; more labels would be needed to show it",
    Verdict.NO_PROMISE: "the model makes none; `digitmill calibrate` makes one that does",
}


@dataclasses.dataclass(frozen=True)
class AuditSummary:
    """The audits of some runs, by their places, and the sum of several."""

    audits: dict[str, Audit]

    @property
    def total(self) -> Audit:
        """The audit of all runs together."""
        audits = list(self.audits.values())
        return audits[0] if len(audits) == 1 else _together(audits)

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the command."""
        judged = (*self.audits.values(), self.total)
        broken = any(each.verdict == Verdict.BROKEN for each in judged)
        return ExitCode.GATE_TRIPPED if broken else ExitCode.OK

    def as_data(self) -> dict[str, Any]:
        """Return the audits as JSON data."""
        runs = [{"output": place, **dataclasses.asdict(each)} for place, each in self.audits.items()]
        return {"runs": runs, "total": dataclasses.asdict(self.total)}

    def table(self) -> str:
        """Return the lines to print."""
        found, low_high = self.total, self.total.interval_95
        rows = {place: _stated(each) for place, each in self.audits.items()} if len(self.audits) > 1 else {}
        rows |= {
            "accepted": f"{found.accepted:,}, {found.sampled:,} of them drawn at random",
            "labelled": f"{found.labelled:,}"
            + ("" if found.labelled == found.sampled else ", not all of them"),
            "wrong": f"{found.wrong:,}"
            + (f", {found.not_digits:,} are no digit" if found.not_digits else ""),
            "error rate": f"{_rate(found)} (95 % interval {percent(low_high[0])} to {percent(low_high[1])})",
            "promise": self._promise(),
        }
        width = max(map(len, rows))
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())

    def _promise(self) -> str:
        found = self.total
        words = _VERDICTS[Verdict(found.verdict)]
        if found.target is None:
            differ = len({each.target for each in self.audits.values()}) > 1
            return "the runs' promises differ: audit them one by one" if differ else words
        if found.verdict == Verdict.UNDECIDED and len(self.audits) > 1:
            words = "not contradicted"
        elif found.verdict == Verdict.UNDECIDED:
            needed = images_needed(found.wrong, 1 - found.target, DELTA)
            words = f"not contradicted; {needed:,} labels with {found.wrong:,} wrong ones would show it"
        return f"at most {percent(1 - found.target)} wrong: {words}"


def run(options: AuditOptions) -> AuditSummary:
    """Audit the runs, and write each one's audit into its folder.

    Raises:
        UserError: when a run is not finished or has drawn no images, or when none of them is labelled.
    """
    labels = LabelsFile(options.labels, unreadable=True)
    audits = {place: _audit(place, labels) for place in options.runs}
    if len({each.run for each in audits.values()}) < len(options.runs):
        raise UserError("a run is named twice", value=", ".join(options.runs), hint="name each run once")
    found = AuditSummary({printable(place.rstrip("/")): each for place, each in audits.items()})
    if not found.total.labelled:
        raise UserError(
            "none of the images drawn for the audit has a label",
            value=options.labels,
            hint="label them on the page that `digitmill review` makes of the run",
        )
    for place, each in audits.items():
        open_folder(place).replace(audit.FILE, each.to_json().encode())
    return found


def _audit(place: str, labels: LabelsFile) -> Audit:
    past = open_finished_run(place, hint="name the output of `digitmill score --audit`")
    output = open_folder(place)
    drawn = _drawn(output)
    found = [
        (int(digit), label)
        for uri, generation, digit, _ in drawn
        if (label := _label(uri, int(generation), labels)) is not None
    ]
    return _judge(
        run=past.digest,
        target=_target(past, output),
        accepted=past.manifest.accepted,
        sampled=len(drawn),
        labelled=len(found),
        wrong=sum(digit != label for digit, label in found),
        not_digits=sum(label == NOT_A_DIGIT for _, label in found),
    )


def _drawn(output: OutputFolder) -> list[list[str]]:
    try:
        return list(read_csv(AUDIT, output.read(AUDIT)))
    except FileNotFoundError:
        raise UserError(
            "the run drew no images for an audit",
            value=output.place,
            hint="score again with --audit 200",
        ) from None


def _label(uri: str, generation: int, labels: LabelsFile) -> int | None:
    """Return what people say of an image in the version that was scored; None if they say nothing."""
    file, page = split_page(uri)
    # A file of labels may name the member of an archive by its URI, whose `!` is quoted when it is read.
    member = labels.of(uri_in(uri, str(labels)))[0]
    label = labels.of(uri)[0] or member or (labels.of(file)[1].get(page) if page else None)
    return label.digit if label is not None and label.generation in (-1, generation) else None


def _target(past: PastRun, output: OutputFolder) -> float | None:
    """Return what the run's model promises of the threshold that the run had."""
    card = find_card(output, past.manifest)
    promise = card.guarantee if card else None
    # A stricter threshold may accept what is worse: a promise is about one threshold.
    same = promise is not None and promise.threshold == past.manifest.accept_threshold
    return promise.target if promise is not None and same else None


def _judge(*, run: str, target: float | None, labelled: int, wrong: int, **counts: int) -> Audit:
    interval = exact_interval(wrong, labelled, 0.05)
    return Audit(
        run=run,
        labelled=labelled,
        wrong=wrong,
        error_rate=wrong / labelled if labelled else None,
        interval_95=interval,
        target=target,
        verdict=_verdict(target, exact_interval(wrong, labelled, 2 * DELTA)),
        **counts,
    )


def _together(audits: Sequence[Audit]) -> Audit:
    """Return the audit of all accepted images of several runs.

    Samples of one size are no random sample of runs of different size: each run's rate counts by its accepted
    images, and so do the bounds of the interval, each of which may fail in its share of the 5 %.
    """
    accepted = sum(each.accepted for each in audits)
    known = all(each.labelled for each in audits)
    weights = [each.accepted / accepted if accepted else 0.0 for each in audits]
    rates = [(each.error_rate or 0.0) * weight for each, weight in zip(audits, weights, strict=True)]

    def interval(delta: float) -> tuple[float, float]:
        bounds = [exact_interval(each.wrong, each.labelled, delta / len(audits)) for each in audits]
        low, high = (sum(w * b[side] for w, b in zip(weights, bounds, strict=True)) for side in (0, 1))
        return low, high

    targets = {each.target for each in audits}
    target = targets.pop() if len(targets) == 1 else None
    names = ("accepted", "sampled", "labelled", "wrong", "not_digits")
    return Audit(
        run="",
        error_rate=sum(rates) if known else None,
        interval_95=interval(0.05),
        target=target,
        verdict=_verdict(target, interval(2 * DELTA)),
        **{name: sum(getattr(each, name) for each in audits) for name in names},
    )


def _verdict(target: float | None, interval: tuple[float, float]) -> Verdict:
    """Return what an interval says, each side of which fails with probability `DELTA`, as the promise may."""
    if target is None:
        return Verdict.NO_PROMISE
    low, high = interval
    if low > 1 - target:
        return Verdict.BROKEN
    return Verdict.KEPT if high <= 1 - target else Verdict.UNDECIDED


def _rate(found: Audit) -> str:
    return "–" if found.error_rate is None else percent(found.error_rate)


def _stated(found: Audit) -> str:
    low, high = map(percent, found.interval_95)
    return f"{_rate(found)}, {found.wrong:,} of {found.labelled:,} wrong (95 % interval {low} to {high})"
