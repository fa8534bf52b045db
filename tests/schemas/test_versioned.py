import pytest

from schemas import versioned


def test_fields_round_trip_and_the_head_comes_first() -> None:
    text = versioned.dump({"a": [1, None]}, kind="x", format=2)
    assert text.index('"kind"') < text.index('"format"') < text.index('"a"')
    with versioned.load(text, "a thing", kind="x", format=2) as fields:
        assert fields == {"a": [1, None]}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 2, "kind": "y"}'])
def test_another_format_is_refused(text: str) -> None:
    with (
        pytest.raises(ValueError, match=r"not a thing of format 2|Expecting value"),
        versioned.load(text, "a thing", kind="x", format=2),
    ):
        pass


@pytest.mark.parametrize("error", [KeyError("a"), TypeError("b")])
def test_unknown_fields_are_named(error: Exception) -> None:
    with (
        pytest.raises(ValueError, match="wrong fields for a thing"),
        versioned.load('{"format": 2}', "a thing", format=2),
    ):
        raise error
