import glob
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.storage.patterns import PathPattern, compile_pattern, has_magic, literal_prefix

NAMES = [
    "a.png", "b.jpg", "d/a.png", "d/e/a.png", "d/e/f/b.png", ".h/x.png", "d/.hidden.png", "[1].png", "a]b",
    "d/-x", "d/^", "x\ny", "a-b", "a!b",
]  # fmt: skip


@pytest.mark.parametrize(
    "pattern",
    ["*", "*.png", "**/*.png", "d/**", "d/*", "**", "*/*.png", "?.png", "[ab].*", "[!a].*", "[a-c].png", 
     "[[]1].png", "d/**/b.png", "a[]]b", "a[!]]b", "a[!]-]b",
     "d/[-x]*", "d/[!-]*", "d/[^]", "*/e/*", "x?y", "[.png", "d/e/a.png"],
)  # fmt: skip
def test_patterns_match_as_they_do_for_files(tmp_path: pathlib.Path, pattern: str) -> None:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = glob.glob(pattern, root_dir=tmp_path, recursive=True, include_hidden=True)
    expected = {name for name in found if (tmp_path / name).is_file()}
    compiled = compile_pattern(pattern)
    assert {name for name in NAMES if compiled.fullmatch(name)} == expected


TEXTS = st.text(st.sampled_from("ab/*?[]!-^\\.\n"), max_size=12)


@given(TEXTS, TEXTS)
def test_every_match_begins_with_the_literal_prefix(pattern: str, name: str) -> None:
    try:
        compiled = compile_pattern(pattern)
    except Exception as error:
        pytest.fail(f"{pattern!r}: {error}")
    if compiled.fullmatch(name):
        assert name.startswith(literal_prefix(pattern))


@given(st.text(st.characters(exclude_characters="*?["), max_size=12))
def test_a_name_without_magic_matches_itself(name: str) -> None:
    assert not has_magic(name)
    assert compile_pattern(name).fullmatch(name)
    assert literal_prefix(name) == name


SEGMENTS = st.sampled_from(["**", "*", "?", "a", "b*", "[ab]", "[!a]", "a?"])
FOLDERS = st.sampled_from(["a", "b", "ab", "ba", "x"])


@given(st.lists(SEGMENTS, min_size=1, max_size=5), st.lists(FOLDERS, min_size=1, max_size=6))
def test_a_pattern_matched_folder_by_folder_is_the_same_pattern(pattern: list[str], path: list[str]) -> None:
    by_folder = PathPattern.of("/".join(pattern))
    states = by_folder.start
    for folder in path[:-1]:
        states = by_folder.enter(states, folder)
    matches = compile_pattern("/".join(pattern)).fullmatch("/".join(path)) is not None
    assert by_folder.matches(states, path[-1]) == matches
    if not states:
        assert not matches
