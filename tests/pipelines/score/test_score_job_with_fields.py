import csv
import gzip
import json
import os
import pathlib
import shutil
from collections.abc import Callable

import numpy as np
import pytest

from digitmill.default_model import SHIPPED_MODEL
from digitmill.storage import open_folder
from pipelines.compact.compact_job import run as compact
from pipelines.compact.compact_options import CompactOptions
from pipelines.output.verification import verify
from pipelines.report.rebuilding import rebuild_report
from pipelines.score.preview import preview
from pipelines.score.score_job import run
from pipelines.score_options import ScoreOptions
from schemas.__main__ import GENERATED
from schemas.errors import StoppedError, UserError
from schemas.manifest import Manifest

PATTERN = r"(?P<field>.+)/(?P<position>\d+)\.png"


@pytest.fixture
def forms(tmp_path: pathlib.Path, digits: np.ndarray, png_of: Callable) -> pathlib.Path:
    """Six forms with an amount of four digits; of form2 one is missing, of form3 one is no image."""
    folder = tmp_path / "forms"
    for form in range(6):
        amount = folder / f"form{form}" / "amount"
        amount.mkdir(parents=True)
        for position in range(1, 5):
            (amount / f"{position:02}.png").write_bytes(png_of(digits[4 * form + position]))
    (folder / "form2/amount/03.png").unlink()
    (folder / "form3/amount/02.png").write_bytes(b"")
    (folder / "read me.txt").write_text("forms of tonight")
    return folder


@pytest.fixture
def options(forms: pathlib.Path, tmp_path: pathlib.Path) -> Callable:
    def of(output: str = "out", **more: object) -> ScoreOptions:
        flags: dict = {"inputs": (str(forms),), "field": PATTERN, "accept_threshold": 0.5, **more}
        return ScoreOptions(
            model=str(SHIPPED_MODEL),
            output=str(tmp_path / output),
            beam_flags=("--runner=FnApiRunner",),
            **flags,
        )

    return of


def fields_of(output: pathlib.Path) -> dict[str, dict[str, str]]:
    with (output / "reports" / "fields.csv").open(newline="") as file:
        return {row["field"]: row for row in csv.DictReader(file)}


def predictions_of(output: pathlib.Path) -> dict[str, dict[str, str]]:
    rows = {}
    for part in (output / "predictions").glob("*.csv"):
        with part.open(newline="") as file:
            rows |= {row["image"]: row for row in csv.DictReader(file)}
    return rows


def test_the_digits_of_a_field_make_one_value(
    options: Callable, forms: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    manifest = run(options()).manifest
    fields, predictions = fields_of(tmp_path / "out"), predictions_of(tmp_path / "out")
    assert list(fields) == [f"form{form}/amount" for form in range(6)]
    for name, row in fields.items():
        images = json.loads(row["images"])
        assert images == [path.as_uri() for path in sorted((forms / name).iterdir())]
        assert int(row["members"]) == len(images)
        if row["reason"]:
            continue
        members = [predictions[image] for image in images]
        assert row["value"] == "".join(each["digit"] for each in members)
        joint = np.prod([float(each["confidence"]) for each in members])
        assert float(row["confidence"]) == pytest.approx(joint, abs=1e-4)
        sure = joint >= 0.5 and all(each["decision"] == "accept" for each in members)
        assert row["decision"] == ("accept" if sure else "review")
    assert fields["form2/amount"]["note"] == "position 3 missing"
    assert fields["form2/amount"]["value"][2] == "?"
    assert fields["form3/amount"]["note"] == "position 2 failed: EMPTY"
    assert manifest.fields is not None
    assert (manifest.fields.fields, manifest.fields.incomplete) == (6, 2)
    assert manifest.fields.accepted == sum(row["decision"] == "accept" for row in fields.values())


def test_page_and_summary_know_the_fields_and_the_output_verifies(
    options: Callable, tmp_path: pathlib.Path
) -> None:
    summary = run(options(field_check="regex:9{4}"))
    assert "6 (4 invalid, 2 incomplete)" in summary.table()
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'id="fields"' in page
    assert "the value fails the check" in page
    assert summary.manifest == Manifest.from_json((tmp_path / "out" / "manifest.json").read_text())
    assert not verify(open_folder(str(tmp_path / "out"))).findings


def test_fields_are_rows_of_their_schema(
    options: Callable, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import frictionless

    run(options(field_check="luhn"))
    monkeypatch.chdir(tmp_path / "out" / "reports")
    schema = json.loads((GENERATED / "fields.tableschema.json").read_text())
    table = frictionless.Resource(path="fields.csv", schema=frictionless.Schema.from_descriptor(schema))
    report = table.validate()
    assert report.valid, report.flatten(["message"])
    assert report.tasks[0].stats["rows"] == 6


def test_without_fields_there_is_no_table(options: Callable, tmp_path: pathlib.Path) -> None:
    summary = run(options(field=None))
    assert summary.manifest.fields is None
    assert not (tmp_path / "out" / "reports" / "fields.csv").exists()
    assert 'id="fields"' not in (tmp_path / "out" / "report.html").read_text()


def test_a_pattern_that_matches_nothing_is_told(options: Callable, tmp_path: pathlib.Path) -> None:
    summary = run(options(field=r"(?P<field>x)(?P<position>y)"))
    assert "no image is in a field" in summary.table()
    assert fields_of(tmp_path / "out") == {}
    assert "No image is in a field" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("flags", [{"field": "("}, {"field_check": "sum"}, {"field": "(?P<field>.+)"}])
def test_what_cannot_be_used_is_refused_before_anything_is_written(
    options: Callable, tmp_path: pathlib.Path, flags: dict
) -> None:
    for attempt in (run, preview):
        with pytest.raises(UserError, match="field"):
            attempt(options(**flags))
        assert not (tmp_path / "out" / "run.json").exists()


def test_a_resumed_run_and_a_rebuilt_report_have_the_same_bytes(
    options: Callable, tmp_path: pathlib.Path
) -> None:
    run(options(rows_per_part=5))
    written = (tmp_path / "out" / "reports" / "fields.csv").read_bytes()
    for name in ("manifest.json", "reports/fields.csv"):
        (tmp_path / "out" / name).unlink()
    for record in sorted((tmp_path / "out" / "statistics").iterdir())[::2]:
        record.unlink()
    run(options(rows_per_part=5, resume=True))
    assert (tmp_path / "out" / "reports" / "fields.csv").read_bytes() == written
    (tmp_path / "out" / "reports" / "fields.csv").unlink()
    rebuild_report(str(tmp_path / "out"))
    assert (tmp_path / "out" / "reports" / "fields.csv").read_bytes() == written
    # In one work item or in five, the fields are the same.
    run(options("whole"))
    assert (tmp_path / "whole" / "reports" / "fields.csv").read_bytes() == written


def test_an_incremental_run_takes_the_other_digits_of_its_fields_from_earlier_runs(
    options: Callable, forms: pathlib.Path, tmp_path: pathlib.Path, digits: np.ndarray, png_of: Callable
) -> None:
    scans = tmp_path / "scans"
    shutil.copytree(forms, scans)
    run(options("nights/1", inputs=(str(scans),)))
    before = fields_of(tmp_path / "nights/1")
    # One digit is corrected, one comes late, one goes, and a form is new.
    (scans / "form1/amount/02.png").write_bytes(png_of(digits[200]))
    (scans / "form2/amount/03.png").write_bytes(png_of(digits[201]))
    (scans / "form2/amount/04.png").unlink()
    (scans / "form4/amount/01.png").unlink()
    (scans / "form9/amount").mkdir(parents=True)
    (scans / "form9/amount/1.png").write_bytes(png_of(digits[202]))
    os.utime(scans / "form1/amount/02.png", (1, 1))
    run(options("nights/2", inputs=(str(scans),), since=str(tmp_path / "nights")))
    fields, new = fields_of(tmp_path / "nights/2"), predictions_of(tmp_path / "nights/2")
    assert list(fields) == ["form1/amount", "form2/amount", "form9/amount"]
    corrected = new[(scans / "form1/amount/02.png").as_uri()]["digit"]
    value = before["form1/amount"]["value"]
    assert fields["form1/amount"]["value"] == value[0] + corrected + value[2:]
    late = new[(scans / "form2/amount/03.png").as_uri()]["digit"]
    assert fields["form2/amount"]["value"] == before["form2/amount"]["value"][:2] + late
    written = (tmp_path / "nights/2" / "reports" / "fields.csv").read_bytes()
    (tmp_path / "nights/2" / "reports" / "fields.csv").unlink()
    rebuild_report(str(tmp_path / "nights/2"))
    assert (tmp_path / "nights/2" / "reports" / "fields.csv").read_bytes() == written


def test_the_report_of_an_incremental_run_outlasts_the_earlier_runs(
    options: Callable, forms: pathlib.Path, tmp_path: pathlib.Path, digits: np.ndarray, png_of: Callable
) -> None:
    run(options("nights/1"))
    (forms / "form2/amount/03.png").write_bytes(png_of(digits[201]))
    run(options("nights/2", since=str(tmp_path / "nights"), field_check="luhn"))
    second = tmp_path / "nights/2"
    shutil.rmtree(tmp_path / "nights/1")
    page = (second / "report.html").read_bytes()
    (second / "report.html").unlink()
    rebuild_report(str(second))
    assert (second / "report.html").read_bytes() == page
    # What is damaged is made again, which needs them.
    (second / "reports/fields.csv").write_text("field\n")
    with pytest.raises(UserError, match="earlier run that this one builds on"):
        rebuild_report(str(second))


def test_an_earlier_prediction_file_that_has_changed_is_refused(
    options: Callable, forms: pathlib.Path, tmp_path: pathlib.Path, digits: np.ndarray, png_of: Callable
) -> None:
    run(options("nights/1"))
    part = sorted((tmp_path / "nights/1/predictions").glob("*.tfrecord.gz"))[0]
    part.write_bytes(gzip.compress(gzip.decompress(part.read_bytes()), 1))
    (forms / "form2/amount/03.png").write_bytes(png_of(digits[201]))
    with pytest.raises(StoppedError, match=rf"missing or damaged .*{part.name} has changed"):
        run(options("nights/2", since=str(tmp_path / "nights")))
    assert not (tmp_path / "nights/2/manifest.json").exists()


def test_gates_know_the_fields(options: Callable, tmp_path: pathlib.Path) -> None:
    gates = ("fields.incomplete>0.3", "fields.accuracy<0.9", "fields<6", "fields.invalid>0.5")
    summary = run(options(fail_on=gates, field_check="regex:9{4}"))
    assert summary.manifest.tripped == {
        "fields.incomplete>0.3": pytest.approx(1 / 3),
        "fields.accuracy<0.9": None,
        "fields.invalid>0.5": pytest.approx(2 / 3),
    }
    assert "fields.incomplete&gt;0.3" in (tmp_path / "out" / "report.html").read_text()
    none = run(options("none", field=None, fail_on=("fields.accepted<0.5",))).manifest
    assert none.tripped == {"fields.accepted<0.5": None}


def test_a_finished_run_is_not_resumed_with_other_options_of_its_reports(
    options: Callable, tmp_path: pathlib.Path
) -> None:
    gates = ("fields>100",)
    run(options(fail_on=gates))
    with pytest.raises(UserError, match=r"finished, with other options .fail_on was 'fields>100' and is now"):
        run(options(fail_on=("fields<100",), resume=True))
    with pytest.raises(UserError, match=r"field was .* and is now None"):
        run(options(field=None, fail_on=gates, resume=True))
    assert run(options(fail_on=gates, resume=True)).manifest.tripped == {}


def test_a_merged_state_has_fields_of_its_own(
    options: Callable, forms: pathlib.Path, tmp_path: pathlib.Path, digits: np.ndarray, png_of: Callable
) -> None:
    run(options("nights/1", field_check="luhn"))
    (forms / "form2/amount/03.png").write_bytes(png_of(digits[201]))
    (forms / "form4/amount/04.png").unlink()
    run(options("nights/2", field_check="luhn", since=str(tmp_path / "nights")))
    compact(CompactOptions(runs=(str(tmp_path / "nights"),), output=str(tmp_path / "state")))
    run(options("whole", field_check="luhn"))
    assert fields_of(tmp_path / "state") == fields_of(tmp_path / "whole")
    assert not verify(open_folder(str(tmp_path / "state"))).findings
    (tmp_path / "state/reports/fields.csv").unlink()
    rebuild_report(str(tmp_path / "state"))
    assert fields_of(tmp_path / "state") == fields_of(tmp_path / "whole")


def test_with_labels_the_values_are_counted_right_or_wrong(
    options: Callable, forms: pathlib.Path, tmp_path: pathlib.Path, labels: np.ndarray
) -> None:
    truth = tmp_path / "truth.csv"
    lines = [
        f"{forms}/form{form}/amount/{position:02}.png,{labels[4 * form + position]}"
        for form in range(6)
        for position in range(1, 5)
    ]
    truth.write_text("\n".join(["path,label", *lines]))
    manifest = run(options(labels=str(truth))).manifest
    complete = [row for row in fields_of(tmp_path / "out").values() if not row["reason"]]
    assert manifest.fields is not None
    assert manifest.fields.labeled == len(complete) == 4
    assert manifest.fields.right == sum(row["label"] == row["value"] for row in complete)


@pytest.mark.parametrize("since", [False, True])
def test_a_missing_first_digit_is_a_gap_where_fields_count_from_0(
    options: Callable, forms: pathlib.Path, tmp_path: pathlib.Path, since: bool
) -> None:
    for path in sorted(forms.rglob("*.png")):
        path.rename(path.with_name(f"{int(path.stem) - 1}.png"))
    if since:
        run(options("first"))
        # In the night after, form4 alone is scored, without its first digit.
        (forms / "form4/amount/3.png").write_bytes((forms / "form0/amount/3.png").read_bytes())
    (forms / "form4/amount/0.png").unlink()
    output = tmp_path / "out"
    run(options(since=str(tmp_path / "first") if since else None))
    field = fields_of(output)["form4/amount"]
    assert (field["decision"], field["reason"], field["note"]) == (
        "review",
        "INCOMPLETE",
        "position 0 missing",
    )
    assert field["value"].startswith("?")
