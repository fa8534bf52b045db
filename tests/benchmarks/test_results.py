import math
import pathlib
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import results
from benchmarks.contenders import SHIPPED
from benchmarks.results import Results, Run
from tests.benchmarks.runs import every_run, run

SECONDS = st.floats(0.001, 1e6).map(lambda value: round(value, 3))


@given(st.lists(st.builds(run, pipeline_seconds=SECONDS, turn=st.integers(0, 9), model=st.text())))
def test_a_csv_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, runs: list[Run]) -> None:
    path = tmp_path_factory.mktemp("csv") / results.FILE
    results.write(path, runs)
    # CSV readers make one line end of any.
    if not any("\r" in one.model for one in runs):
        assert results.read(path) == runs


def test_a_csv_keeps_that_there_are_no_pipeline_seconds(tmp_path: pathlib.Path) -> None:
    results.write(tmp_path / "deep" / "runs.csv", [run(pipeline_seconds=math.nan)])
    (back,) = results.read(tmp_path / "deep" / "runs.csv")
    assert math.isnan(back.pipeline_seconds)


@given(st.lists(SECONDS, min_size=1, max_size=9))
def test_median_and_spread_are_those_of_the_runs(seconds: list[float]) -> None:
    runs = Results(run(pipeline_seconds=value) for value in seconds)
    assert runs.median("pipeline_seconds") == statistics.median(seconds)
    assert min(seconds) <= runs.median("pipeline_seconds") <= max(seconds)


def test_the_median_of_no_runs_is_no_number() -> None:
    assert math.isnan(Results([]).median("pipeline_seconds"))
    assert math.isnan(Results([]).greatest("peak_bytes"))


def test_memory_is_that_of_the_turns_in_which_it_was_sampled() -> None:
    runs = Results([run(peak_bytes=5), run(peak_bytes=0), run(peak_bytes=7)])
    assert runs.greatest("peak_bytes") == 7
    assert math.isnan(runs.where(peak_bytes=0).greatest("peak_bytes"))


def test_where_takes_every_condition() -> None:
    runs = every_run()
    chosen = runs.where(section="scoring", contender="stock Beam", images=60_000, model=SHIPPED)
    assert len(chosen) == 3
    assert {one.contender for one in chosen} == {"stock Beam"}
    assert not runs.where(section="scoring", cores=7)


def test_distinct_values_come_in_the_order_of_the_runs() -> None:
    runs = Results([run(images=3), run(images=1), run(images=3), run(images=2)])
    assert runs.distinct("images") == [3, 1, 2]
