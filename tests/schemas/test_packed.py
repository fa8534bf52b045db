import dataclasses
import json

import pytest

from schemas import packed
from schemas.failure import FailureCode
from schemas.manifest import Part
from schemas.packed import PackManifest


def manifest(**changes: object) -> PackManifest:
    fields = {
        "listed": 3,
        "packed": 2,
        "failed": 1,
        "labeled": 2,
        "failures": dict.fromkeys(map(str, FailureCode), 0) | {"MISSING": 1},
        "inputs": ("in",),
        "options": {"labels": "folder", "shard_megabytes": 100},
        "versions": {"digitmill": "0"},
        "times": {"pipeline_seconds": 1.0},
        "parts": (Part("packed-0.tfrecord", rows=2, bytes=9, sha256="0" * 64),),
    }
    return PackManifest(**(fields | changes))


def test_every_column_has_a_feature_and_only_the_label_may_be_absent() -> None:
    assert packed.feature_spec() == {
        "image/encoded": ((), "string", None),
        "image/name": ((), "string", None),
        "image/label": ((), "int64", -1),
        "image/generation": ((), "int64", None),
    }


def test_a_manifest_round_trips() -> None:
    assert PackManifest.from_json(manifest().to_json()) == manifest()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"listed": 4}, "4 listed, but"),
        ({"failures": {"MISSING": 1}}, "every code once"),
        ({"failures": dict.fromkeys(map(str, FailureCode), 1)}, "add up to 1"),
        ({"labeled": 3}, "3 labeled of"),
    ],
)
def test_counts_that_do_not_reconcile_are_refused(changes: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        manifest(**changes)


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        json.dumps(dataclasses.asdict(manifest())),
        json.dumps({"kind": "packed images", "format": 2, **dataclasses.asdict(manifest())}),
        json.dumps({"kind": "packed images", "format": 1}),
        json.dumps({"kind": "packed images", "format": 1, "more": 1, **dataclasses.asdict(manifest())}),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"Expecting|manifest"):
        PackManifest.from_json(text)
