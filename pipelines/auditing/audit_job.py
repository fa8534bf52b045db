"""The job of `digitmill audit`: compares the sample of accepted images with people's labels."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from digitmill.confidence.audits import judge_audit, sum_audits
from digitmill.confidence.exact_bounds import images_needed
from digitmill.reports.csv_table import read_csv
from digitmill.storage import OutputFolder, open_folder
from digitmill.storage.names import printable, split_page, uri_in
from pipelines.auditing.audit_options import AuditOptions
from pipelines.history.past_runs import SEVERAL_THRESHOLDS, PastRun, open_finished_run
from pipelines.listing.true_labels import LabelsFile
from pipelines.report.rebuilding import find_card
from pipelines.report.running_audit import VERDICTS
from schemas.checks import audit
from schemas.checks.audit import Audit, Verdict
from schemas.digit import NOT_A_DIGIT
from schemas.errors import ExitCode, UserError, counted
from schemas.layout import AUDIT
from schemas.model.accuracy import percent
from schemas.model.trust import DELTA

_HINT: Final = "name the output of `digitmill score --audit`"


@dataclasses.dataclass(frozen=True)
class AuditSummary:
    """The audits of runs, by location, and their sum if there are several."""

    audits: dict[str, Audit]

    @property
    def total(self) -> Audit:
        """The audit of all runs together."""
        audits = list(self.audits.values())
        return audits[0] if len(audits) == 1 else sum_audits(audits)

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
            "labeled": f"{found.labeled:,}" + ("" if found.labeled == found.sampled else ", not all of them"),
            "wrong": f"{found.wrong:,}"
            + (f", {found.not_digits:,} are no digit" if found.not_digits else ""),
            "error rate": f"{_rate(found)} (95 % interval {percent(low_high[0])} to {percent(low_high[1])})",
            "promise": self._promise(),
        }
        width = max(map(len, rows))
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())

    def _promise(self) -> str:
        found = self.total
        words = VERDICTS[Verdict(found.verdict)]
        if found.target is None:
            differ = len({each.target for each in self.audits.values()}) > 1
            return "the runs' promises differ: audit them one by one" if differ else words
        if found.verdict == Verdict.UNDECIDED and len(self.audits) > 1:
            words = "not contradicted"
        elif found.verdict == Verdict.UNDECIDED:
            needed = images_needed(found.wrong, 1 - found.target, DELTA)
            words = (
                f"not contradicted; {counted(needed, 'label')}, {found.wrong:,} of them wrong, would show it"
            )
        return f"at most {percent(1 - found.target)} wrong: {words}"


def run(options: AuditOptions) -> AuditSummary:
    """Audit the runs, and write each one's audit into its folder.

    Raises:
        UserError: when a run is unfinished or has no audit sample, or when a sample has no labels.
    """
    labels = LabelsFile(options.labels, unreadable=True)
    runs = {place: open_finished_run(place, hint=_HINT) for place in options.runs}
    if len({run.digest for run in runs.values()}) < len(options.runs):
        raise UserError("a run is named twice", value=", ".join(options.runs), hint="name each run once")
    samples = {place: _drawn(open_folder(place)) for place in runs}
    _refuse_shared_images(samples)
    audits = {place: _audit(run, samples[place], labels, looks=len(runs)) for place, run in runs.items()}
    found = AuditSummary({printable(place.rstrip("/")): each for place, each in audits.items()})
    if not found.total.labeled:
        raise UserError(
            "none of the images drawn for the audit has a label",
            value=options.labels,
            hint="label them on the page that `digitmill review` makes of the run",
        )
    for place, each in audits.items():
        open_folder(place).replace(audit.FILE, each.to_json().encode())
    return found


def _refuse_shared_images(samples: Mapping[str, Sequence[Sequence[str]]]) -> None:
    """Raise UserError if two runs drew the same image: its label would count twice."""
    first: dict[tuple[str, str], str] = {}
    for place, drawn in samples.items():
        for uri, generation, *_ in drawn:
            other = first.setdefault((uri, generation), place)
            if other != place:
                raise UserError(
                    "two runs drew the same image, so they are no independent audits",
                    value=f"{uri} in {other} and {place}",
                    hint="audit them one by one; runs with --since score each image once",
                )


def _audit(past: PastRun, drawn: Sequence[Sequence[str]], labels: LabelsFile, *, looks: int) -> Audit:
    found = [
        (int(digit), label)
        for uri, generation, digit, _ in drawn
        if (label := _label(uri, int(generation), labels)) is not None
    ]
    target = _target(past, open_folder(past.place))
    model, threshold = past.manifest.model.get("digest", ""), past.manifest.accept_threshold
    return judge_audit(
        run=past.digest,
        target=target,
        promise="" if target is None else f"{model} from {threshold!r}",
        looks=looks,
        accepted=past.manifest.accepted,
        sampled=len(drawn),
        labeled=len(found),
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
    """Return what the run's model promises of the threshold that the run had; None if it had several."""
    if past.plan.settings.get(SEVERAL_THRESHOLDS):
        return None
    card = find_card(output, past.manifest)
    promise = card.guarantee if card else None
    # A stricter threshold may accept what is worse: a promise is about one threshold.
    same = promise is not None and promise.threshold == past.manifest.accept_threshold
    return promise.target if promise is not None and same else None


def _rate(found: Audit) -> str:
    return "–" if found.error_rate is None else percent(found.error_rate)


def _stated(found: Audit) -> str:
    low, high = map(percent, found.interval_95)
    return f"{_rate(found)}, {found.wrong:,} of {found.labeled:,} wrong (95 % interval {low} to {high})"
