import argparse
import json
import math
import pathlib

import pytest

from benchmarks import page, scale, scale_page, scale_steps
from benchmarks.scale import Measured, Results, parse_size, shown
from benchmarks.scale_data import Shape
from benchmarks.scale_steps import Bench

FOLDERS = {"night-1/listing": [10, 1000], "night-1/statistics": [9, 3000], "night-1/predictions": [18, 9000]}


def measured(step: str, images: int, *, peak: int = 300_000_000, seconds: float = 1.0) -> Measured:
    return Measured(images, 10_000, step, seconds, 2 * seconds, peak, FOLDERS)


@pytest.fixture
def results(tmp_path: pathlib.Path) -> Results:
    kept = Results(tmp_path / scale.FILE)
    for images in (10**6, 10**7):
        for step in scale.MEANINGS:
            kept.add(measured(step, images, seconds=images / 10**6))
    return kept


@pytest.mark.parametrize(("text", "images"), [("7", 7), ("20k", 20_000), ("100M", 10**8)])
def test_sizes_are_read_as_they_are_shown(text: str, images: int) -> None:
    assert (parse_size(text), shown(images)) == (images, text)


def test_no_size_is_refused() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="got '1G'"):
        parse_size("1G")


def test_results_are_kept_and_replaced(results: Results, tmp_path: pathlib.Path) -> None:
    results.add(measured("list", 10**6, seconds=7))
    again = Results(tmp_path / scale.FILE)
    found = again.find("list", 10**6)
    assert found is not None
    assert found.seconds == 7
    assert len(again.steps) == 2 * len(scale.MEANINGS)
    assert again.find("list", 5) is None


def test_the_tables_state_the_growth(results: Results) -> None:
    seconds, processor, peak = scale.tables(results)
    assert seconds.rows[0] == ["list", "1.0", "10.0", "10.00"]
    assert processor.rows[0] == ["list", "2.0", "20.0", "10.00"]
    assert peak.rows[0] == ["list", "300", "300", "1.00"]


def test_memory_that_grows_is_named(results: Results) -> None:
    assert not list(scale.findings(results))
    results.add(measured("compact", 10**7, peak=900_000_000))
    assert list(scale.findings(results)) == ["compact: memory grows by 3.00 from 1M to 10M images"]


def test_the_workers_part_is_not_reported(results: Results) -> None:
    results.add(measured("score", 10**6, peak=10**10))
    assert all(row[0] != "score" for table in scale.tables(results) for row in table.rows)


def test_the_page_reckons_a_billion_from_the_largest_size(results: Results, tmp_path: pathlib.Path) -> None:
    made = scale_page.blocks(tmp_path / scale.FILE)
    assert set(made) == set(scale_page.NAMES) <= page.NAMES
    assert "| verify | 10M images × 100 | 33 min of one core, 300 MB |" in made["scale-billion"]
    assert "| read | 1,000,000,000 requests | $400 |" in made["scale-billion"]


def test_a_rate_that_does_not_ramp_divides_the_reads() -> None:
    assert scale_page.seconds_of_reads(10**6, 1000) == 1000
    assert scale_page.seconds_of_reads(0, math.inf) == 0


def test_the_ramp_doubles_every_twenty_minutes() -> None:
    # 5,000/s that doubles over 1,200 s is 5,000 * 1,200 / ln 2 in these.
    assert scale_page.seconds_of_reads(round(5000 * 1200 / math.log(2)), math.inf) == pytest.approx(1200)
    assert scale_page.seconds_of_reads(10**9, 20_000) > scale_page.seconds_of_reads(10**9, 100_000)


def test_names_come_in_order_and_each_once() -> None:
    names = [image.uri for image in Shape(1000, per_folder=10).listed()]
    assert names == sorted(set(names))


@pytest.mark.slow
def test_every_step_runs_on_what_the_one_before_has_written(tmp_path: pathlib.Path) -> None:
    bench = Bench(tmp_path, Shape(5000, per_folder=7))
    for step in scale_steps.STEPS.values():
        step(bench)
    counts = json.loads((tmp_path / "state/manifest.json").read_text())["counts"]
    assert counts["listed"] == counts["scored"] + counts["failed"] == 5000
