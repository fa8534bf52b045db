import dataclasses

import pytest

from pipelines.report.class_metrics import FOLDERS_SHOWN, digit_rates, folder_rates, folders_to_show
from pipelines.statistics.item_statistics import RunStatistics
from pipelines.statistics.tallies import Tally


def test_precision_recall_and_their_mean(statistics: RunStatistics) -> None:
    nine = digit_rates(statistics)[9]
    assert (nine.labelled, nine.taken, nine.right) == (5, 14, 5)
    assert nine.recall == 1
    assert nine.precision == pytest.approx(5 / 14)
    assert nine.f1 == pytest.approx(2 * nine.precision / (1 + nine.precision))


def test_without_labels_there_are_no_rates(statistics: RunStatistics) -> None:
    for rates in digit_rates(dataclasses.replace(statistics, confusion=((0,) * 10,) * 10)):
        assert (rates.precision, rates.recall, rates.f1) == (None, None, None)
        assert "0.00" not in [words for words, _ in rates.cells(labelled=False, scored=60)][5:]


def test_folders_count_what_failed_too(statistics: RunStatistics) -> None:
    rates = {rate.folder: rate for rate in folder_rates(statistics)}
    assert [(rate.failed, rate.tally.images) for rate in rates.values()] == [(0, 40), (1, 20), (1, 0)]
    assert [rate.to_look_at for rate in rates.values()] == [1, 1 + 10 + 8, 1]


def test_those_with_most_to_look_at_are_shown_and_no_more_than_fit(statistics: RunStatistics) -> None:
    tallies = tuple(Tally(f"f{number:04d}", 1, 10, 9.0, accepted=number % 11) for number in range(500))
    shown = folders_to_show(folder_rates(dataclasses.replace(statistics, tallies=tallies, failures=())))
    assert len(shown) == FOLDERS_SHOWN
    assert [rate.to_look_at for rate in shown] == sorted((rate.to_look_at for rate in shown), reverse=True)
    assert shown[0].folder == "f0000"
