import dataclasses
import json

import pytest

from schemas.failure import FailureCode
from schemas.manifest import Counts, Manifest, Part, Status

FAILURES = dict.fromkeys(map(str, FailureCode), 0) | {"EMPTY": 2}
MANIFEST = Manifest(
    status=Status.COMPLETE,
    counts=Counts(listed=10, scored=8, failed=2, skipped=0),
    failures=FAILURES,
    labeled=4,
    right=3,
    accepted=7,
    inputs=("a", "b\n"),
    model={"digest": "d"},
    options={"labels": None, "accept_threshold": 0.9},
    versions={"digitmill": "0"},
    times={"pipeline_seconds": 2.0, "images": 10},
    parts=(Part("predictions/x.csv", rows=8, bytes=100, sha256="ab"),),
)


def test_a_manifest_round_trips() -> None:
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST


def test_accuracy_and_speed_follow_from_the_counts() -> None:
    assert MANIFEST.accuracy.value == 0.75
    assert MANIFEST.images_per_second == 5.0
    assert dataclasses.replace(MANIFEST, labeled=0, right=0).accuracy is None


def test_a_challenger_has_its_own_accuracy() -> None:
    challenged = dataclasses.replace(MANIFEST, challenger={"digest": "e"}, agreed=6, challenger_right=4)
    assert Manifest.from_json(challenged.to_json()) == challenged
    assert challenged.challenger_accuracy.value == 1.0
    assert MANIFEST.challenger_accuracy is None
    assert dataclasses.replace(challenged, labeled=0, right=0, challenger_right=0).challenger_accuracy is None


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"counts": Counts(11, 8, 2, 0)}, "do not reconcile"),
        ({"failures": {"EMPTY": 2}}, "every code once"),
        ({"failures": FAILURES | {"CORRUPT": 1}}, "add up to 2"),
        ({"status": "fine"}, "status is none of"),
        ({"right": 5}, "5 right of 4 labeled"),
        ({"labeled": 9}, "of 9 labeled of 8 scored"),
        ({"agreed": 9}, "9 agreed"),
        ({"accepted_labeled": 5}, "0 right of 5 accepted"),
        ({"challenger_right": 5}, "5 challenger_right"),
    ],
)
def test_contradicting_counts_are_refused(changes: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        dataclasses.replace(MANIFEST, **changes)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 99}', '{"format": 2}', '{"format": 2, "counts": {}}']
)
def test_a_damaged_manifest_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own errors have words of their own
        Manifest.from_json(text)


def test_an_unknown_field_is_refused() -> None:
    fields = json.loads(MANIFEST.to_json()) | {"surprise": 1}
    with pytest.raises(ValueError, match="surprise"):
        Manifest.from_json(json.dumps(fields))


def test_a_launcher_that_found_everything_done_has_a_rate_of_zero() -> None:
    times = MANIFEST.times | {"images": 0, "pipeline_seconds": 0.0}
    assert dataclasses.replace(MANIFEST, times=times).images_per_second == 0
