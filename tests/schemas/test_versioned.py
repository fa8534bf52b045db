import pytest

from schemas import versioned


def test_fields_survive_their_text_and_the_head_comes_first() -> None:
    text = versioned.to_text({"a": [1, None]}, kind="x", format=2)
    assert text.index('"kind"') < text.index('"format"') < text.index('"a"')
    assert versioned.fields_of(text, "a thing", kind="x", format=2) == {"a": [1, None]}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 2, "kind": "y"}'])
def test_another_head_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"a thing has format 2|Expecting value"):
        versioned.fields_of(text, "a thing", kind="x", format=2)


@pytest.mark.parametrize("error", [KeyError("a"), TypeError("b")])
def test_other_fields_are_named(error: Exception) -> None:
    with (
        pytest.raises(ValueError, match="a thing has exactly the documented fields"),
        versioned.documented("a thing"),
    ):
        raise error
