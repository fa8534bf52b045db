import dataclasses
import math

import pytest

from benchmarks import tables
from benchmarks.results import Results
from tests.benchmarks.runs import SECONDS, every_run, run

RUNS = every_run()


def test_scoring_has_a_table_for_each_model_and_size() -> None:
    made = list(tables.scoring(RUNS))
    assert [table.title for table in made] == [
        "dense-300-100, 10,000 images, 2 cores",
        "dense-300-100, 60,000 images, 2 cores",
        "everyday-cnn-refined, 10,000 images, 2 cores",
        "everyday-cnn-refined, 60,000 images, 2 cores",
    ]


def test_scoring_shows_median_all_runs_and_ratio() -> None:
    first = next(tables.scoring(RUNS))
    rows = {row[0]: row for row in first.rows}
    assert rows["digitmill"] == (
        "digitmill", "1.01 (1.00, 1.01, 1.02)", "9,901", "1.00 ×", "3.01", "200", "97.00 %"
    )  # fmt: skip
    assert rows["stock Beam"][1:4] == ("13.13 (13.00, 13.13, 13.26)", "762", "13.00 ×")
    assert rows["loop without Beam"][3] == "1.30 ×"


def test_scans_have_a_table_for_each_kind() -> None:
    (table,) = tables.scans(RUNS)
    assert table.title == "dense-300-100, 64 px JPEG, 10,000 images, 2 cores"
    assert [row[0] for row in table.rows] == ["digitmill", "plain Keras"]


def test_growth_compares_the_smallest_folder_with_the_largest() -> None:
    (table,) = tables.growth(RUNS)
    assert table.rows[0] == ("dense-300-100", "10,000 → 60,000", "1.01 → 6.06", "6.00", "200 → 200", "1.00")


def test_growth_needs_two_sizes() -> None:
    assert not list(tables.growth(RUNS.where(images=10_000)))


def test_cores_are_compared_with_one() -> None:
    (table,) = tables.cores(RUNS)
    assert [row[0] for row in table.rows] == ["1", "2"]
    assert [row[-1] for row in table.rows] == ["1.00 ×", "2.00 ×"]


def test_start_shows_whole_commands() -> None:
    (table,) = tables.start(RUNS)
    assert [row[0] for row in table.rows] == ["digitmill --help", "digitmill score, 100 images"]
    assert table.rows[0][1].startswith("0.200 (")


def test_buckets_show_rate_requests_and_processor_time() -> None:
    (table,) = tables.buckets(RUNS)
    assert [row[1:] for row in table.rows] == [
        ("10,000", "5,000", "1.00 ×", "1.01", "100"),
        ("1,000", "100", "50.00 ×", "3.00", "5,000"),
    ]


def test_what_a_start_costs_is_no_cost_of_an_image() -> None:
    for start in (0.0, 2.0, 50.0):
        runs = Results(run(images=n, processor_seconds=start + 120e-6 * n) for n in (100, 10_000))
        assert tables.processor_of_image(runs) == pytest.approx(120)


def test_one_size_alone_tells_no_cost_of_an_image() -> None:
    assert math.isnan(tables.processor_of_image(RUNS.where(section="buckets", images=100)))


def test_training_is_compared_by_epoch() -> None:
    (table,) = tables.training(RUNS)
    assert [row[-1] for row in table.rows] == ["1.00 ×", "2.50 ×", "2.00 ×"]


@pytest.mark.parametrize("section", tables.SECTIONS)
def test_nothing_measured_is_no_table(section: str) -> None:
    assert not list(tables.SECTIONS[section](Results([])))


@pytest.mark.parametrize("section", tables.SECTIONS)
def test_one_round_is_enough_for_a_table(section: str) -> None:
    once = Results(one for one in RUNS if one.turn == 0)
    for table in tables.SECTIONS[section](once):
        assert table.rows
        assert all(len(row) == len(table.header) for row in table.rows)


def test_a_contender_that_is_missing_leaves_the_others() -> None:
    without = Results(one for one in RUNS if one.contender != "Ray Data")
    assert [row[0] for row in next(tables.scoring(without)).rows] == [
        contender for contender in SECONDS if contender != "Ray Data"
    ]


def test_the_order_of_runs_within_a_round_does_not_matter() -> None:
    turned = Results(dataclasses.replace(one) for one in sorted(RUNS, key=lambda one: one.turn))
    assert next(tables.scoring(turned)).rows == next(tables.scoring(RUNS)).rows
