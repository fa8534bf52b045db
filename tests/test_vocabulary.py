import pytest

from tests.vocabulary import find_phrases


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Each night is scored anew.", ["anew"]),
        ("first\nWhoever waits is told why.", ["Whoever", "is told"]),
        ("A run is gone on with as it was begun, one a core.", ["gone on with", "one a core"]),
        ("A new model comes with it, one per core.", []),
    ],
)
def test_phrases_that_readers_stumble_over_are_found(text: str, found: list[str]) -> None:
    assert [phrase for _, phrase, _ in find_phrases(text)] == found


def test_a_finding_names_line_and_remedy() -> None:
    assert list(find_phrases("one\ntwo, such ones")) == [(2, "such ones", "the noun again")]
