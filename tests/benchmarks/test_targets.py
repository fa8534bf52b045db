import dataclasses

import pytest

from benchmarks import targets
from benchmarks.results import Results, Run
from tests.benchmarks.runs import every_run

RUNS = every_run()
BY_NAME = {target.what: target for target in targets.TARGETS}


def test_names_tell_targets_apart() -> None:
    assert len(BY_NAME) == len(targets.TARGETS)


def verdicts(runs: Results) -> dict[str, str]:
    return {name: target.row(runs)[3] for name, target in BY_NAME.items()}


def test_every_target_is_measured_by_a_whole_run() -> None:
    assert verdicts(RUNS) == dict.fromkeys(BY_NAME, "yes")


def test_every_target_says_when_it_was_not_measured() -> None:
    found = {name: target.row(Results([]))[2:] for name, target in BY_NAME.items()}
    assert found == dict.fromkeys(BY_NAME, ("not measured", ""))


def test_every_target_can_be_missed() -> None:
    assert verdicts(Results(_slower(one) for one in RUNS)) == dict.fromkeys(BY_NAME, "no")


def test_the_faster_loop_is_the_bound() -> None:
    name = "dense-300-100, 60,000 images, pipeline: the faster loop"
    assert BY_NAME[name].measured(RUNS) == pytest.approx(0.9)
    without = Results(one for one in RUNS if one.contender != "loop, engine on 2 threads")
    assert BY_NAME[name].measured(without) == pytest.approx(0.95)


def _slower(one: Run) -> Run:
    if one.contender not in ("digitmill", "--help"):
        return one
    # Only more: a growth is no worse when all is slower alike.
    more = one.images > 10_000 or one.section == "buckets" or (one.section == "cores" and one.cores == 2)
    return dataclasses.replace(
        one,
        pipeline_seconds=one.pipeline_seconds * (100 if more else 1),
        command_seconds=one.command_seconds * 100,
        processor_seconds=one.processor_seconds * 100,
        peak_bytes=one.peak_bytes * (2 if more else 1),
    )


def test_a_bound_that_is_met_exactly_is_reached() -> None:
    met = dataclasses.replace(BY_NAME["two cores against one"], bound=2.0)
    assert met.row(RUNS) == ("two cores against one", "≥ 2 ×", "2 ×", "yes")
    help_time = dataclasses.replace(BY_NAME["`digitmill --help`"], bound=0.2)
    assert help_time.row(RUNS)[3] == "yes"


def test_the_table_holds_every_target() -> None:
    assert [row[0] for row in targets.table(RUNS).rows] == list(BY_NAME)
