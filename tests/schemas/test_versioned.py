import dataclasses
import json
from collections.abc import Mapping

import pytest

from schemas.versioned import VersionedRecord, decode


@dataclasses.dataclass(frozen=True)
class Leaf:
    a: int


@dataclasses.dataclass(frozen=True)
class Thing(VersionedRecord, what="a thing", kind="x", format=2):
    numbers: tuple[tuple[int, ...], ...]
    pair: tuple[Leaf, float]
    leaf: Leaf | None = None
    named: Mapping[str, Leaf] = dataclasses.field(default_factory=dict)
    options: Mapping[str, str | float | bool | None] = dataclasses.field(default_factory=dict)


THING = Thing(
    ((1, 2), (3,)), (Leaf(4), 0.5), Leaf(5), {"b": Leaf(6)}, {"a": 1, "b": "", "c": False, "d": None}
)


@pytest.mark.parametrize("thing", [THING, Thing((), (Leaf(1), 2.0))])
def test_fields_round_trip_and_the_head_comes_first(thing: Thing) -> None:
    text = thing.to_json()
    assert text.index('"kind"') < text.index('"format"') < text.index('"numbers"')
    assert Thing.from_json(text) == thing


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 2, "kind": "y"}'])
def test_another_format_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a thing of format 2|Expecting value"):
        Thing.from_json(text)


@pytest.mark.parametrize(
    "change",
    [
        {"more": 1},
        {"leaf": {"b": 1}},
        {"leaf": 3},
        {"numbers": 3},
        {"named": [1]},
        {"named": {"b": None}},
        {"pair": [{"a": 1}]},
        {"pair": [{"a": "1"}, 0.5]},
        {"pair": [{"a": True}, 0.5]},
        {"pair": [{"a": 1.0}, 0.5]},
        {"pair": [{"a": 1}, None]},
        {"numbers": [[1, None]]},
        {"numbers": ["12"]},
        {"numbers": {}},
        {"options": {"a": []}},
        {"options": {"a": {}}},
    ],
)
def test_wrong_fields_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match=r"wrong fields for a thing|shorter"):
        Thing.from_json(json.dumps(json.loads(THING.to_json()) | change))


def test_a_missing_field_is_named() -> None:
    with pytest.raises(ValueError, match=r"wrong fields for a leaf: .*'a'"):
        decode(Leaf, {}, what="a leaf")


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    count: int
    share: float = 0.5


@dataclasses.dataclass(frozen=True)
class Rows:
    rows: tuple[Row, ...]


def test_rows_need_not_be_alike() -> None:
    given = [{"name": "a", "count": 1, "share": 2}, {"count": 2, "name": "b"}, {"name": "c", "count": 3}]
    rows = decode(Rows, {"rows": given}, what="rows").rows
    assert rows == (Row("a", 1, 2), Row("b", 2), Row("c", 3))


@pytest.mark.parametrize(
    "wrong",
    [
        3,
        None,
        [],
        {},
        {"name": "a"},
        {"name": "a", "count": True},
        {"name": "a", "count": 1.0},
        {"name": 1, "count": 1},
        {"name": "a", "count": 1, "share": "2"},
        {"name": "a", "count": 1, "more": 2},
        {"name": "a", "count": [1]},
    ],
)
def test_one_wrong_row_of_many_is_refused(wrong: object) -> None:
    given = [*({"name": "a", "count": number} for number in range(100)), wrong]
    with pytest.raises(ValueError, match="wrong fields for rows"):
        decode(Rows, {"rows": given}, what="rows")


DEEP = ["[" * 100_000, "[" * 500 + "]" * 500, '{"a":' * 100_000, '{"a":' * 500 + "1" + "}" * 500]


@pytest.mark.parametrize("text", DEEP)
def test_deep_nesting_is_refused(text: str) -> None:
    whole = f'{{"kind": "x", "format": 2, "numbers": {text}, "pair": [{{"a": 1}}, 0.5]}}'
    for deep in (text, whole):
        with pytest.raises(ValueError, match=r"nested too deeply|not a thing|Expecting"):
            Thing.from_json(deep)
