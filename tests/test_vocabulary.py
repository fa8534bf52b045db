import pathlib

import pytest

from tests.vocabulary import find_phrases, list_files


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


def test_a_checkout_without_its_repository_is_read_too(tmp_path: pathlib.Path) -> None:
    names = [
        "README.md",
        "docs/index.md",
        "docs/reference/api.md",
        "digitmill/cli.py",
        "digitmill/py.typed",
        "tests/a.py",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [str(path.relative_to(tmp_path)) for path in list_files(tmp_path)]
    assert found == ["README.md", "digitmill/cli.py", "docs/index.md"]
