import dataclasses

import pytest

from benchmarks import targets
from benchmarks.results import Results, Run
from tests.benchmarks.runs import every_run

RUNS = every_run()
NAMES = [target.what for target in targets.targets(RUNS)]


def test_names_tell_targets_apart() -> None:
    assert len(set(NAMES)) == len(NAMES)


def rows(runs: Results) -> dict[str, tuple[str, ...]]:
    return {target.what: target.row() for target in targets.targets(runs)}


def verdicts(runs: Results) -> dict[str, str]:
    return {name: row[3] for name, row in rows(runs).items()}


def test_every_target_is_measured_by_a_whole_run() -> None:
    assert verdicts(RUNS) == dict.fromkeys(NAMES, "yes")


def test_every_target_says_when_it_was_not_measured() -> None:
    found = {name: row[2:] for name, row in rows(Results([])).items()}
    assert found == dict.fromkeys(NAMES, ("not measured", ""))


def test_every_target_can_be_missed() -> None:
    assert verdicts(Results(_slower(one) for one in RUNS)) == dict.fromkeys(NAMES, "no")


def test_the_faster_loop_is_the_bound() -> None:
    name = "dense-300-100, 60,000 images, pipeline: the faster loop"
    assert rows(RUNS)[name][2] == "1.25 ×"
    without = Results(one for one in RUNS if one.contender != "loop, engine on 2 threads")
    assert rows(without)[name][2] == "1.3 ×"


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


@pytest.mark.parametrize("at_most", [False, True])
def test_a_bound_that_is_met_exactly_is_reached(at_most: bool) -> None:
    met = targets.Target("x", 2.0, 2.0, at_most=at_most)
    assert met.row() == ("x", "≤ 2 ×" if at_most else "≥ 2 ×", "2 ×", "yes")


def test_the_table_holds_every_target() -> None:
    assert [row[0] for row in targets.table(RUNS).rows] == NAMES
