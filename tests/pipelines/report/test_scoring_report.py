import csv
import dataclasses
import json
import pathlib

import pytest

from digitmill.reports.csv_table import read_csv
from digitmill.storage.local_output import LocalFolder
from pipelines.listing.relative_names import RelativeNames
from pipelines.report.class_metrics import survey_folders
from pipelines.report.drift import Distributions
from pipelines.report.scoring_charts import confusion_matrix
from pipelines.report.scoring_report import (
    Baselines,
    RunReport,
    distributions_of,
    summary_rows,
)
from pipelines.statistics.agreement import Agreement
from pipelines.statistics.item_statistics import RunStatistics
from schemas import failure
from schemas.__main__ import GENERATED
from schemas.failure import Failure, FailureCode
from schemas.manifest import Manifest
from schemas.model.model_card import ModelCard


def test_the_summary_counts_per_digit_and_per_folder(statistics: RunStatistics) -> None:
    rows = list(summary_rows(survey_folders(statistics), failed=2))
    assert rows[0] == ("all", "", "", 60, 2, "0.833333", 50, 59, 50)
    assert rows[1:4] == [
        ("digit", "", 0, 0, "", "", 0, 0, 0),
        ("digit", "", 1, 50, "", "0.900000", 50, 50, 49),
        ("digit", "", 2, 10, "", "0.500000", 0, 9, 1),
    ]
    assert [row for row in rows if row[0] == "folder"] == [
        ("folder", "file:///in/a", "", 40, 0, "0.900000", 40, 40, 39),
        ("folder", "file:///in/b", "", 20, 1, "0.700000", 10, 19, 11),
        ("folder", "file:///in/c", "", 0, 1, "", 0, 0, 0),
    ]
    assert sum(row[3] for row in rows if row[0] == "folder_digit") == 60


def test_the_confusion_table_is_true_by_predicted(statistics: RunStatistics) -> None:
    matrix = confusion_matrix(statistics)
    assert matrix is not None
    assert matrix.chart.header[:2] == ("label", "0")
    assert matrix.chart.rows[3] == (3, 0, 0, 0, 5, 0, 0, 0, 0, 0, 1)


def test_failures_are_rows_of_their_schema(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, statistics: RunStatistics, manifest: Manifest
) -> None:
    import frictionless

    RunReport.of(statistics, Baselines()).write(LocalFolder(tmp_path), manifest)
    monkeypatch.chdir(tmp_path / "reports")
    schema = frictionless.Schema.from_descriptor(
        json.loads((GENERATED / "failures.tableschema.json").read_text())
    )
    report = frictionless.Resource(path="failures.csv", schema=schema).validate()
    assert report.valid, report.flatten(["message"])
    assert len(list(RelativeNames().failure_rows(statistics.failures))) == report.tasks[0].stats["rows"] == 2


def test_every_report_is_a_part_with_its_rows(
    tmp_path: pathlib.Path, statistics: RunStatistics, manifest: Manifest
) -> None:
    parts = {
        part.name: part
        for part in RunReport.of(statistics, Baselines()).write(LocalFolder(tmp_path), manifest)
    }
    tables = {"summary", "failures", "digits", "distributions"}
    charts = {"confidence", "confusion", "coverage", "reliability"}
    assert set(parts) == {
        "report.html",
        *(f"reports/{name}.csv" for name in tables | charts),
        *(f"reports/{name}.png" for name in charts),
    }
    for name, part in parts.items():
        if name.endswith(".csv"):
            with (tmp_path / name).open(newline="") as file:
                assert len(list(csv.reader(file))) - 1 == part.rows
    for part in parts.values():
        assert (tmp_path / part.name).stat().st_size == part.bytes


def test_agreement_is_reported_with_a_challenger_only(
    tmp_path: pathlib.Path, statistics: RunStatistics, manifest: Manifest
) -> None:
    agreements = (Agreement(1, -1, 1, 0, 0, 0), Agreement(1, 1, 57, 57, 49, 49), Agreement(2, 7, 2, 2, 1, 1))
    challenged = dataclasses.replace(
        manifest, challenger={"recipe": "r", "digest": "e" * 64}, agreed=57, challenger_right=50
    )
    RunReport.of(dataclasses.replace(statistics, agreements=agreements), Baselines()).write(
        LocalFolder(tmp_path), challenged
    )
    assert (tmp_path / "reports" / "agreement.csv").read_text().splitlines() == [
        "digit,challenger_digit,images,labeled,right,challenger_right",
        "1,,1,0,0,0",
        "1,1,57,57,49,49",
        "2,7,2,2,1,1",
    ]


def test_without_labels_there_is_no_confusion(
    tmp_path: pathlib.Path, statistics: RunStatistics, manifest: Manifest
) -> None:
    unlabeled = dataclasses.replace(statistics, confusion=((0,) * 10,) * 10)
    parts = RunReport.of(unlabeled, Baselines()).write(
        LocalFolder(tmp_path), dataclasses.replace(manifest, labeled=0, right=0)
    )
    assert "reports/confusion.csv" not in {part.name for part in parts}
    assert "Confusion" not in (tmp_path / "report.html").read_text()


def test_the_baselines_are_stored_with_the_report(
    tmp_path: pathlib.Path, statistics: RunStatistics, manifest: Manifest, card: ModelCard
) -> None:
    current = distributions_of(statistics, survey_folders(statistics))
    RunReport.of(statistics, Baselines(card, current)).write(LocalFolder(tmp_path), manifest)
    for name in ("distributions", "previous_distributions"):
        assert Distributions.from_csv((tmp_path / "reports" / f"{name}.csv").read_bytes()) == current
    assert ModelCard.from_json((tmp_path / "reports" / "model_card.json").read_text()) == card


def test_reports_are_deterministic(
    tmp_path: pathlib.Path, statistics: RunStatistics, manifest: Manifest, card: ModelCard
) -> None:
    baselines = Baselines(card, distributions_of(statistics, survey_folders(statistics)))
    for name in "ab":
        (tmp_path / name).mkdir()
    first, second = (
        RunReport.of(statistics, baselines).write(LocalFolder(tmp_path / name), manifest) for name in "ab"
    )
    assert first == second


def test_very_many_failures_are_rows_of_several_files(
    tmp_path: pathlib.Path, statistics: RunStatistics, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure, "ROWS_OF_A_FILE", 3)
    rows = tuple(Failure(f"file:///{name}", 0, FailureCode.EMPTY, "no bytes") for name in "abcdefg")
    parts = RunReport.of(dataclasses.replace(statistics, failures=rows), Baselines()).write(
        LocalFolder(tmp_path), manifest
    )
    tables = [part for part in parts if "failures" in part.name]
    assert [(part.name, part.rows) for part in tables] == [
        ("reports/failures.csv", 3),
        ("reports/failures-00001.csv", 3),
        ("reports/failures-00002.csv", 1),
    ]
    found = [row for part in tables for row in read_csv(part.name, (tmp_path / part.name).read_bytes())]
    assert [row[0] for row in found] == [row.image for row in rows]


@pytest.mark.parametrize(
    ("detail", "page", "pictures"), [("full", True, True), ("light", True, False), ("none", False, False)]
)
def test_the_detail_says_what_is_written(
    statistics: RunStatistics, manifest: Manifest, detail: str, page: bool, pictures: bool
) -> None:
    asked = dataclasses.replace(manifest, options={**manifest.options, "report": detail})
    names = {file.name for file in RunReport.of(statistics, Baselines()).files(asked)}
    assert {f"reports/{name}.csv" for name in ("summary", "failures", "digits", "distributions")} <= names
    assert ("report.html" in names) == page
    assert any(name.endswith(".png") for name in names) == pictures
