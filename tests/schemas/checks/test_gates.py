import dataclasses

import pytest

from schemas.checks.gates import FIGURES, Gate, figures, tripped
from schemas.errors import UserError
from schemas.failure import FailureCode
from schemas.manifest import Counts, Manifest
from tests.schemas.test_manifest import MANIFEST

LABELED = dataclasses.replace(MANIFEST, accepted_labeled=4, accepted_right=3, drift=0.3)


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("drift>0.25", Gate("drift", ">", 0.25)),
        (" accepted <= .9 ", Gate("accepted", "<=", 0.9)),
        ("listed<1e6", Gate("listed", "<", 1e6)),
        ("failures.MISSING>0", Gate("failures.MISSING", ">", 0)),
    ],
)
def test_a_gate_is_a_figure_a_comparison_and_a_number(text: str, gate: Gate) -> None:
    assert Gate.parse(text) == gate
    assert Gate.parse(str(gate)) == gate


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("drift", "invalid --fail-on: 'drift'"),
        ("drift=0.25", "invalid --fail-on"),
        ("acuracy<0.9", "unknown figure in --fail-on: 'acuracy'. Did you mean accuracy?"),
        ("price<1", "unknown figure in --fail-on: 'price'. Give one of accepted, "),
        ("accepted<90", "a share between 0 and 1"),
        ("drift>1-2", "no number in --fail-on"),
    ],
)
def test_what_is_no_gate_is_refused(text: str, problem: str) -> None:
    with pytest.raises(UserError) as refused:
        Gate.parse(text)
    assert problem in str(refused.value)


def test_every_figure_is_found_in_a_manifest() -> None:
    found = figures(LABELED)
    assert list(found) == list(FIGURES)
    expected = {
        "accepted": 7 / 8,
        "review": 1 / 8,
        "failed": 0.2,
        "accuracy": 0.75,
        "accepted_accuracy": 0.75,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert (found["drift"], found["failures.EMPTY"], found["challenger_accuracy"]) == (0.3, 2, None)
    assert {name for name in found if name.startswith("failures.")} == {
        f"failures.{code}" for code in FailureCode
    }


def failing(manifest: Manifest, *texts: str) -> dict[str, float | None]:
    return tripped(map(Gate.parse, texts), manifest)


def test_the_gates_that_a_run_trips_are_named_with_their_values() -> None:
    assert failing(LABELED, "drift>0.25", "accepted<0.9", "accuracy<0.75", "accuracy<=0.75", "listed>10") == {
        "drift>0.25": 0.3,
        "accepted<0.9": 0.875,
        "accuracy<=0.75": 0.75,
    }


def test_an_unknown_figure_trips_its_gate_unless_nothing_was_scored() -> None:
    unknown = dataclasses.replace(MANIFEST, labeled=0, right=0)
    assert failing(unknown, "accuracy<0.9", "drift>1") == {"accuracy<0.9": None, "drift>1": None}
    nothing = dataclasses.replace(
        unknown, counts=Counts(10, 0, 0, 10), failures=dict.fromkeys(map(str, FailureCode), 0), accepted=0
    )
    assert failing(nothing, "accuracy<0.9", "accepted<0.9", "drift>1", "scored<1") == {"scored<1": 0}


def test_a_manifest_with_tripped_gates_round_trips() -> None:
    failed = dataclasses.replace(LABELED, tripped={"drift>0.25": 0.3, "accuracy<1": None})
    assert Manifest.from_json(failed.to_json()) == failed
