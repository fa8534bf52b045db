import csv
import dataclasses
import json
import math
import pathlib
import shutil
import statistics
from typing import Any

import pytest

from digitmill.confidence.audits import judge_audit
from digitmill.confidence.exact_bounds import exact_interval
from digitmill.engines.bundle_loader import open_bundle
from digitmill.storage import open_folder
from pipelines.auditing import audit_job
from pipelines.auditing.audit_job import run
from pipelines.auditing.audit_options import AuditOptions
from pipelines.compact.compact_job import run as compact
from pipelines.compact.compact_options import CompactOptions
from pipelines.output.verification import verify
from pipelines.report.rebuilding import rebuild_report
from pipelines.report.running_audit import RunningAudit
from pipelines.review import review_job
from pipelines.review.review_options import ReviewOptions
from pipelines.score import score_job
from pipelines.score_options import ScoreOptions
from schemas.checks.audit import Audit, Verdict
from schemas.errors import ExitCode, UserError
from schemas.labels import UNREADABLE
from schemas.manifest import Manifest
from schemas.model import bundle as names
from schemas.model.trust import Guarantee

SIZE = 60


def score(folder: pathlib.Path, model: pathlib.Path, output: pathlib.Path, **more: object) -> pathlib.Path:
    given = {"audit": SIZE, "accept_threshold": 0.9} | more
    score_job.run(ScoreOptions(inputs=(str(folder),), model=str(model), output=str(output), **given))
    return output


@pytest.fixture(scope="module")
def scored(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    output = tmp_path_factory.mktemp("audited") / "out"
    return score(digit_folder, bundle_path, output, rows_per_part=100)


@pytest.fixture
def output(scored: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(scored, tmp_path / "out"))


def drawn(output: pathlib.Path) -> list[dict[str, str]]:
    with (output / "reports/audit.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def predictions(output: pathlib.Path) -> dict[str, dict[str, str]]:
    rows = {}
    for part in (output / "predictions").glob("*.csv"):
        with part.open(newline="") as file:
            rows |= {row["image"]: row for row in csv.DictReader(file)}
    return rows


def write_labels(path: pathlib.Path, labels: dict[str, object]) -> str:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label"])
        table.writerows(labels.items())
    return str(path)


def audited(output: pathlib.Path, labels: str, *more: pathlib.Path):
    return run(AuditOptions(runs=(str(output), *map(str, more)), labels=labels))


def test_accepted_images_are_drawn_however_the_work_is_split(
    output: pathlib.Path, digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    sample, rows = drawn(output), predictions(output)
    assert len({row["image"] for row in sample}) == len(sample) == SIZE
    for row in sample:
        found = rows[row["image"]]
        assert found["decision"] == "accept"
        assert [row[name] for name in row] == [found[name] for name in row]
    again = score(digit_folder, bundle_path, tmp_path / "again")
    assert drawn(again) == sample
    accepted = sum(row["decision"] == "accept" for row in rows.values())
    every = drawn(score(digit_folder, bundle_path, tmp_path / "every", audit=1_000))
    assert len(every) == accepted
    assert every[:SIZE] == sample


def test_without_the_flag_nothing_is_drawn(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    output = score(digit_folder, bundle_path, tmp_path / "out", audit=None, limit=20)
    assert not (output / "reports/audit.csv").exists()
    with pytest.raises(UserError, match="the run drew no images for an audit"):
        audited(output, write_labels(tmp_path / "labels.csv", {"/x.png": 1}))


def test_the_review_shows_them_among_the_doubtful_ones(output: pathlib.Path) -> None:
    summary = review_job.run(ReviewOptions(output=str(output), limit=30))
    assert (summary.audited, summary.shown) == (SIZE, SIZE + min(30, summary.doubtful))
    page = (output / "review.html").read_text()
    data = json.loads(
        page.partition('<script id="data" type="application/json">')[2].partition("</script>")[0]
    )
    shown = [row["path"] for row in data["rows"]]
    assert data["blind"]
    assert {row["image"] for row in drawn(output)} < set(shown)
    # Neither their order nor their number on the page tells which they are.
    sample = {row["image"] for row in drawn(output)}
    places = [place for place, path in enumerate(shown) if path in sample]
    # Of a random order, the mean place of the sample has this deviation: an accident once in 100,000 runs.
    count = len(shown)
    deviation = math.sqrt((count - SIZE) * (count + 1) / (12 * SIZE))
    assert abs(statistics.mean(places) - (count - 1) / 2) < 4.5 * deviation
    # What a browser keeps by their numbers stays valid with a higher limit.
    numbers = {row["path"]: row["place"] for row in data["rows"]}
    review_job.run(ReviewOptions(output=str(output), limit=1_000))
    page = (output / "review.html").read_text()
    data = json.loads(
        page.partition('<script id="data" type="application/json">')[2].partition("</script>")[0]
    )
    later = {row["path"]: row["place"] for row in data["rows"]}
    assert later.items() >= numbers.items()
    assert "below a confidence of" not in page


def test_the_rate_of_errors_is_that_of_the_labeled_sample(
    output: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    sample = drawn(output)
    labels: dict[str, object] = {row["image"]: row["digit"] for row in sample[:50]}
    labels[sample[3]["image"]] = (int(sample[3]["digit"]) + 1) % 10
    labels[sample[4]["image"]] = UNREADABLE
    doubtful = [uri for uri, row in predictions(output).items() if row["decision"] == "review"]
    labels |= dict.fromkeys(doubtful, UNREADABLE)
    summary = audited(output, write_labels(tmp_path / "labels.csv", labels))
    found = summary.total
    assert (found.sampled, found.labeled, found.wrong, found.not_digits) == (SIZE, 50, 2, 1)
    assert (found.error_rate, found.interval_95) == (0.04, exact_interval(2, 50, 0.05))
    assert (found.verdict, summary.exit_code) == (Verdict.NO_PROMISE, ExitCode.OK)
    assert "wrong       2, 1 are no digit" in summary.table()
    assert Audit.from_json((output / "audit.json").read_text()) == found
    assert not verify(open_folder(str(output))).findings


def test_labels_of_another_version_say_nothing(output: pathlib.Path, tmp_path: pathlib.Path) -> None:
    sample = drawn(output)
    rows = ["path,label,generation", *(f"{row['image']},1,{int(row['generation']) + 1}" for row in sample)]
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(UserError, match="none of the images drawn for the audit has a label"):
        audited(output, str(tmp_path / "labels.csv"))
    assert not (output / "audit.json").exists()


def promising(bundle_path: pathlib.Path, folder: pathlib.Path, target: float) -> pathlib.Path:
    """The bundle with the promise of a threshold in its card."""
    copied = pathlib.Path(shutil.copytree(bundle_path, folder / "promising"))
    card = open_bundle(bundle_path).card
    promise = Guarantee(target, 0.05, 0.9, 4_000, 3_900, 1, 0.001)
    card = dataclasses.replace(
        card, accept_threshold=0.9, trust=dataclasses.replace(card.trust, guarantee=promise)
    )
    (copied / names.CARD).write_text(card.to_json())
    return copied


@pytest.mark.parametrize(
    ("target", "wrong", "verdict", "words"),
    [
        (0.9, 1, Verdict.KEPT, "at most 10.00 % wrong: kept"),
        (0.99, 0, Verdict.UNDECIDED, "299 labels, 0 of them wrong, would show it"),
        (0.99, 4, Verdict.BROKEN, "at most 1.00 % wrong: broken"),
    ],
)
def test_a_promise_is_kept_broken_or_undecided(
    digit_folder: pathlib.Path,
    bundle_path: pathlib.Path,
    tmp_path: pathlib.Path,
    target: float,
    wrong: int,
    verdict: Verdict,
    words: str,
) -> None:
    model = promising(bundle_path, tmp_path, target)
    output = score(digit_folder, model, tmp_path / "out", accept_threshold=None)
    labels = {
        row["image"]: (int(row["digit"]) + (number < wrong)) % 10 for number, row in enumerate(drawn(output))
    }
    summary = audited(output, write_labels(tmp_path / "labels.csv", labels))
    assert summary.total.verdict == verdict
    assert words in summary.table()
    assert summary.exit_code == (ExitCode.GATE_TRIPPED if verdict == Verdict.BROKEN else ExitCode.OK)
    # The promise is about one threshold.
    other = score(digit_folder, model, tmp_path / "other", accept_threshold=0.95)
    assert audited(other, str(tmp_path / "labels.csv")).total.verdict == Verdict.NO_PROMISE


def test_several_runs_are_answered_one_by_one_and_together(
    output: pathlib.Path, digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    shutil.copytree(digit_folder, tmp_path / "others")
    second = score(tmp_path / "others", bundle_path, tmp_path / "second")
    labels = {
        row["image"]: (int(row["digit"]) + (number == 0)) % 10
        for sample in (drawn(output), drawn(second))
        for number, row in enumerate(sample)
    }
    summary = audited(output, write_labels(tmp_path / "labels.csv", labels), second)
    assert (summary.total.labeled, summary.total.wrong) == (2 * SIZE, 2)
    assert summary.table().count(f"1 of {SIZE} wrong") == 2
    assert [each["output"] for each in summary.as_data()["runs"]] == [str(output), str(second)]
    with pytest.raises(UserError, match="a run is named twice"):
        audited(output, str(tmp_path / "labels.csv"), pathlib.Path(f"{output}/."))
    # The same images, drawn again: their labels are no further evidence.
    again = score(digit_folder, bundle_path, tmp_path / "again")
    with pytest.raises(UserError, match="two runs drew the same image"):
        audited(output, str(tmp_path / "labels.csv"), again)
    with pytest.raises(UserError, match="not a finished run"):
        audited(tmp_path / "none", str(tmp_path / "labels.csv"))


def judged(accepted: int, wrong: int, labeled: int, target: float | None = 0.99, **more: Any) -> Audit:
    return judge_audit(
        **more,
        run=str(accepted),
        target=target,
        labeled=labeled,
        wrong=wrong,
        accepted=accepted,
        sampled=labeled,
        not_digits=0,
    )


def test_many_nights_are_many_chances_to_find_one_broken() -> None:
    # Of 100 labels, 4 wrong ones where 1 % is promised: an accident once in 55 nights.
    assert judged(1_000, 4, 100).verdict == Verdict.BROKEN
    assert judged(1_000, 4, 100, looks=30).verdict == Verdict.UNDECIDED
    assert judged(1_000, 9, 100, looks=30).verdict == Verdict.BROKEN


def test_a_night_that_accepted_nothing_does_not_hide_the_rate_of_the_others() -> None:
    total = audit_job.AuditSummary({"a": judged(1_000, 2, 100), "b": judged(0, 0, 0)}).total
    assert total.error_rate == pytest.approx(0.02)


def test_nights_of_another_model_say_nothing_about_its_promise() -> None:
    old = [judged(1_000, 20, 100, promise="one from 0.9") for _ in range(3)]
    new = [judged(1_000, 0, 100, promise="two from 0.9") for _ in range(3)]
    found = RunningAudit.of([*old, *new])
    assert found is not None
    assert (found.promised.labeled, found.promised.wrong, found.broken) == (300, 0, False)
    assert (found.total.labeled, found.total.wrong) == (600, 60)
    # Nights from before the change are not counted again when the old model comes back.
    back = RunningAudit.of([*old, *new, judged(1_000, 0, 100, promise="one from 0.9")])
    assert back is not None
    assert back.promised.labeled == 100


def test_a_small_bad_night_does_not_break_the_promise_of_a_large_good_one() -> None:
    found = audit_job.AuditSummary({"a": judged(1_000_000, 0, 200), "b": judged(200, 20, 200)}).total
    assert found.error_rate == pytest.approx(20 / 1_000_200)
    assert found.interval_95[0] < found.error_rate < found.interval_95[1] < 0.03
    assert found.verdict == Verdict.UNDECIDED


def test_runs_of_different_promises_are_broken_each_by_itself() -> None:
    summary = audit_job.AuditSummary({"a": judged(999, 50, 200), "b": judged(999, 50, 200, target=0.999)})
    assert summary.total.verdict == Verdict.NO_PROMISE
    assert "promises differ" in summary.table()
    assert summary.exit_code == ExitCode.GATE_TRIPPED


def test_reports_of_later_nights_carry_the_figure_over_all_nights(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    model, nights = promising(bundle_path, tmp_path, 0.9), tmp_path / "nights"
    given: dict = {"accept_threshold": None, "since": str(nights), "include": ("0/*", "1/*", "2/*")}
    later: dict = {**given, "fail_on": ("audit_error>0.001",)}
    first = score(digit_folder, model, nights / "1", **given)
    second = score(digit_folder, model, nights / "2", **{**later, "include": (), "audit": 40})
    labels = {row["image"]: row["digit"] for night in (first, second) for row in drawn(night)}
    labels[drawn(first)[0]["image"]] = UNREADABLE
    audited(first, write_labels(tmp_path / "labels.csv", labels))
    # Nothing is known yet when the second night runs; later it is, and outlasts the first night.
    manifest = Manifest.from_json((second / "manifest.json").read_text())
    assert (manifest.audit_error, manifest.tripped) == (None, {})
    audited(second, str(tmp_path / "labels.csv"))
    third = score(digit_folder, model, nights / "3", **later)
    page, manifest = (
        (third / "report.html").read_text(),
        Manifest.from_json((third / "manifest.json").read_text()),
    )
    assert f"checked {SIZE + 40} accepted images: 1 is wrong" in page
    assert "The promise that at most 10.00 % of the accepted images are wrong is kept" in page
    rates = [Audit.from_json((night / "audit.json").read_text()) for night in (first, second)]
    whole = sum((each.error_rate or 0) * each.accepted for each in rates) / sum(
        each.accepted for each in rates
    )
    assert manifest.audit_error == pytest.approx(whole)
    assert manifest.tripped == {"audit_error>0.001": pytest.approx(whole)}
    assert not verify(open_folder(str(third))).findings
    shutil.rmtree(first)
    (third / "report.html").unlink()
    rebuild_report(str(third))
    assert (third / "report.html").read_text() == page


def test_a_damaged_audit_of_an_earlier_run_is_refused_before_anything_is_scored(
    output: pathlib.Path, digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (output / "audit.json").write_text("{}")
    with pytest.raises(UserError, match="the audit is damaged"):
        score(digit_folder, bundle_path, tmp_path / "later", since=str(output))
    assert not (tmp_path / "later" / "statistics").exists()


def test_a_merged_state_keeps_the_audits_and_draws_its_own_sample(
    output: pathlib.Path, digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    labels = write_labels(tmp_path / "labels.csv", {row["image"]: row["digit"] for row in drawn(output)})
    audited(output, labels)
    state = tmp_path / "state"
    compact(CompactOptions(runs=(str(output),), output=str(state)))
    assert drawn(state) == drawn(output)
    assert f"checked {SIZE} accepted images: 0 are wrong" in (state / "report.html").read_text()
    later = score(digit_folder, bundle_path, tmp_path / "later", since=str(state))
    assert f"checked {SIZE} accepted images" in (later / "report.html").read_text()
    # The state's own audit stands for those of the runs in it.
    assert audited(state, labels).total.labeled == SIZE
    again = score(digit_folder, bundle_path, tmp_path / "again", since=str(state))
    assert f"checked {SIZE} accepted images" in (again / "report.html").read_text()


def test_a_state_of_runs_with_several_thresholds_has_no_promise(
    digit_folder: pathlib.Path, bundle_path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    model, nights = promising(bundle_path, tmp_path, 0.9), tmp_path / "nights"
    given: dict = {"since": str(nights), "accept_threshold": 0.5, "include": ("0/*", "1/*")}
    score(digit_folder, model, nights / "1", **given)
    score(digit_folder, model, nights / "2", **{**given, "accept_threshold": None, "include": ()})
    states = {}
    for name, runs in (("both", (str(nights),)), ("last", (str(tmp_path / "both"),))):
        compact(CompactOptions(runs=runs, output=str(tmp_path / name)))
        labels = {row["image"]: row["digit"] for row in drawn(tmp_path / name)}
        states[name] = audited(tmp_path / name, write_labels(tmp_path / f"{name}.csv", labels)).total
    assert {name: found.verdict for name, found in states.items()} == dict.fromkeys(
        states, Verdict.NO_PROMISE
    )
