import dataclasses

import pytest

from pipelines.report.class_metrics import MAX_FOLDERS, digit_metrics, folder_metrics, worst_folders
from pipelines.statistics.item_statistics import RunStatistics
from pipelines.statistics.tallies import Tally


def test_precision_recall_and_f1(statistics: RunStatistics) -> None:
    nine = digit_metrics(statistics)[9]
    assert (nine.labelled, nine.taken, nine.right) == (5, 14, 5)
    assert nine.recall == 1
    assert nine.precision == pytest.approx(5 / 14)
    assert nine.f1 == pytest.approx(2 * nine.precision / (1 + nine.precision))


def test_without_labels_precision_recall_and_f1_are_missing(statistics: RunStatistics) -> None:
    for metrics in digit_metrics(dataclasses.replace(statistics, confusion=((0,) * 10,) * 10)):
        assert (metrics.precision, metrics.recall, metrics.f1) == (None, None, None)
        assert "0.00" not in [words for words, _ in metrics.cells(labelled=False, scored=60)][5:]


def test_folder_metrics_include_failures(statistics: RunStatistics) -> None:
    folders = folder_metrics(statistics)
    assert [(folder.failed, folder.tally.images) for folder in folders] == [(0, 40), (1, 20), (1, 0)]
    assert [folder.needs_attention for folder in folders] == [1, 1 + 10 + 8, 1]


def test_worst_folders_come_first_and_are_bounded(statistics: RunStatistics) -> None:
    tallies = tuple(Tally(f"f{number:04d}", 1, 10, 9.0, accepted=number % 11) for number in range(500))
    worst = worst_folders(folder_metrics(dataclasses.replace(statistics, tallies=tallies, failures=())))
    assert len(worst) == MAX_FOLDERS
    attention = [folder.needs_attention for folder in worst]
    assert attention == sorted(attention, reverse=True)
    assert worst[0].folder == "f0000"
