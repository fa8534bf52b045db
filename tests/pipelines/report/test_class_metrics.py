import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.report import class_metrics
from pipelines.report.class_metrics import MAX_FOLDERS, digit_metrics, survey_folders
from pipelines.report.scoring_report import summary_rows
from pipelines.statistics import tallies as tally_module
from pipelines.statistics.item_statistics import RunStatistics, merge_statistics
from pipelines.statistics.tallies import Tally
from schemas.failure import Failure, FailureCode


def test_precision_recall_and_f1(statistics: RunStatistics) -> None:
    nine = digit_metrics(statistics, survey_folders(statistics))[9]
    assert (nine.labeled, nine.taken, nine.right) == (5, 14, 5)
    assert nine.recall == 1
    assert nine.precision == pytest.approx(5 / 14)
    assert nine.f1 == pytest.approx(2 * nine.precision / (1 + nine.precision))


def test_without_labels_precision_recall_and_f1_are_missing(statistics: RunStatistics) -> None:
    unlabeled = dataclasses.replace(statistics, confusion=((0,) * 10,) * 10)
    for metrics in digit_metrics(unlabeled, survey_folders(unlabeled)):
        assert (metrics.precision, metrics.recall, metrics.f1) == (None, None, None)
        assert "0.00" not in [words for words, _ in metrics.cells(labeled=False, scored=60)][5:]


def test_folder_metrics_include_failures(statistics: RunStatistics) -> None:
    folders = survey_folders(statistics).listed
    assert [(folder.failed, folder.tally.images) for folder in folders] == [(0, 40), (1, 20), (1, 0)]
    assert [folder.needs_attention for folder in folders] == [1, 1 + 10 + 8, 1]


def test_worst_folders_come_first_and_are_bounded(statistics: RunStatistics) -> None:
    tallies = tuple(Tally(f"f{number:04d}", 1, 10, 9.0, accepted=number % 11) for number in range(500))
    survey = survey_folders(dataclasses.replace(statistics, tallies=tallies, failures=()))
    worst = survey.worst()
    assert (survey.count, len(survey.listed), survey.others) == (500, 500, None)
    assert len(worst) == MAX_FOLDERS
    attention = [folder.needs_attention for folder in worst]
    assert attention == sorted(attention, reverse=True)
    assert worst[0].folder == "f0000"


@given(
    st.lists(
        st.builds(Tally, st.text(max_size=2), st.integers(0, 9), st.integers(1, 9), st.floats(0, 9)),
        unique_by=lambda tally: (tally.folder, tally.digit),
    ),
    st.lists(st.text(max_size=2), max_size=9),
    st.integers(1, 5),
)
def test_folders_beyond_the_bound_are_summed_up(tallies: list[Tally], failed: list[str], most: int) -> None:
    statistics = dataclasses.replace(
        merge_statistics([]),
        tallies=tuple(sorted(tallies, key=lambda tally: (tally.folder, tally.digit))),
        failures=tuple(Failure(f"{folder}/x", 0, FailureCode.EMPTY, "no bytes") for folder in failed),
    )
    whole = survey_folders(statistics)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(class_metrics, "MAX_LISTED", most)
        patch.setattr(tally_module, "MOST_IN_MEMORY", 3)
        few = survey_folders(statistics)
    assert (few.count, few.digits, few.everything) == (whole.count, whole.digits, whole.everything)
    by_attention = sorted(whole.listed, key=lambda each: (-each.needs_attention, each.folder))
    assert few.listed == tuple(sorted(by_attention[:most], key=lambda each: each.folder))
    rest = by_attention[most:]
    if not rest:
        assert few.others is None
        return
    assert few.others is not None
    assert few.others.failed == sum(each.failed for each in rest)
    assert few.others.tally.images == sum(each.tally.images for each in rest)
    assert few.others.tally.confidence == pytest.approx(sum(each.tally.confidence for each in rest))
    rows = list(summary_rows(few, failed=len(failed)))
    assert sum(row[3] for row in rows if row[0] in ("folder", "other_folders")) == rows[0][3]
    assert sum(row[4] for row in rows if row[0] in ("folder", "other_folders")) == len(failed)
    assert sum(row[3] for row in rows if row[0] in ("folder_digit", "other_folders_digit")) == rows[0][3]


def test_the_page_says_what_it_leaves_out(statistics: RunStatistics, monkeypatch: pytest.MonkeyPatch) -> None:
    tallies = tuple(Tally(f"f{number:04d}", 1, 10, 9.0) for number in range(500))
    statistics = dataclasses.replace(statistics, tallies=tallies, failures=())
    assert survey_folders(statistics).note() == "200 of 500 folders; 300 more are in reports/summary.csv."
    monkeypatch.setattr(class_metrics, "MAX_LISTED", 400)
    assert (
        survey_folders(statistics).note()
        == "200 of 500 folders; 400 are in reports/summary.csv, and the sums of the others."
    )
