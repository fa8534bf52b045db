import os
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.storage.names import (
    check_found,
    folder_of,
    near_path,
    path_of,
    place_of,
    readable,
    uri_in,
    uri_of,
)
from schemas.errors import UserError

NAMES = st.binary(min_size=1, max_size=40).filter(
    lambda name: not {0, ord("/")} & set(name) and name not in (b".", b"..")
)


@given(NAMES)
def test_a_name_comes_back_byte_for_byte(name: bytes) -> None:
    path = b"/data/" + name
    uri = uri_of(path)
    assert path_of(uri) == path
    assert uri == pathlib.Path(os.fsdecode(path)).as_uri()


@given(NAMES)
def test_a_uri_needs_no_quoting_and_is_no_formula(name: bytes) -> None:
    uri = uri_of(b"/data/" + name)
    assert uri.isascii()
    assert uri.isprintable()
    assert not set(uri) & set(" ,;\"'\n\r\t")
    assert uri.startswith("file:///data/")


@given(NAMES, NAMES)
def test_two_names_never_share_a_uri(one: bytes, other: bytes) -> None:
    assert (uri_of(b"/" + one) == uri_of(b"/" + other)) == (one == other)


def test_a_relative_path_counts_from_the_working_folder() -> None:
    assert path_of(uri_of(b"a/b.png")) == os.fsencode(pathlib.Path.cwd() / "a" / "b.png")


def test_the_folder_is_the_uri_without_its_last_part() -> None:
    assert folder_of("file:///a/b%20c/d.png") == "file:///a/b%20c"
    assert folder_of("gs://bucket/a/d.png") == "gs://bucket/a"


def test_people_read_paths() -> None:
    assert readable(uri_of("/ä b/c.png".encode())) == "/ä b/c.png"
    assert readable(uri_of(b"/\xff.png")) == "/�.png"
    assert readable("gs://bucket/a%20b") == "gs://bucket/a%20b"


def test_another_scheme_has_no_path() -> None:
    with pytest.raises(ValueError, match="gs://b/x"):
        path_of("gs://b/x")


@pytest.mark.parametrize(
    ("file", "name", "expected"),
    [
        ("/a/labels.csv", "b/c", "file:///a/b/c"),
        ("/a/labels.csv", "/b", "file:///b"),
        ("file:///a/labels.csv", "b c", "file:///a/b%20c"),
        ("gs://b/a/labels.csv", "c.png", "gs://b/a/c.png"),
        ("s3://b/labels.csv", "c.png", "s3://b/c.png"),
        ("/a/labels.csv", "gs://b/c", "gs://b/c"),
        ("gs://b/labels.csv", "/c", "file:///c"),
        ("gs://b/labels.csv", "file:///c", "file:///c"),
    ],
)
def test_names_count_from_the_folder_of_their_file(file: str, name: str, expected: str) -> None:
    assert uri_in(name, file) == expected


@pytest.mark.parametrize("file", ["/a/labels.csv", "gs://b/labels.csv"])
@pytest.mark.parametrize("name", ["file:///a%00b.png", "file:///a%00/b.png", "/a\0b.png", "ftp://b/c"])
def test_a_name_that_no_file_can_have_is_refused(name: str, file: str) -> None:
    with pytest.raises(UserError, match="neither a path nor a URI") as caught:
        uri_in(name, file)
    assert caught.value.value == name


def test_a_place_is_spelled_as_it_was_given(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    uri = uri_of(b"in/a b")
    assert place_of(uri) == place_of(uri, str(tmp_path)) == f"{tmp_path}/in/a b"
    assert place_of(uri, "in") == "in/a b"
    assert place_of("gs://b/a%20b", "in") == "gs://b/a%20b"


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("scan", "scans"),
        ("Scans/", "scans"),
        ("scan/0/a.png", "scans/0/a.png"),
        ("scans/0/a.pgn", "scans/0/a.png"),
        ("scans/0/b.png", None),
        ("resum", None),
        ("git", None),
        ("meters", None),
        ("nowhere/to/go", None),
    ],
)
def test_a_misspelled_path_has_the_nearest_one(
    given: str, near: str | None, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scans/0").mkdir(parents=True)
    (tmp_path / "scans/0/a.png").touch()
    # Neither is what people mean: a folder that looks like a flag, and a hidden one.
    for name in ("--resume", ".git"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert near_path(given) == near
    assert near_path(f"{tmp_path}/{given}") == (near and f"{tmp_path}/{near}")


def test_only_missing_local_paths_are_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nights").mkdir()
    for place in ("nights", "gs://bucket/nights", "nights/*.csv", tmp_path.as_uri()):
        check_found(place)
    with pytest.raises(UserError, match=r"run not found: 'night'\. Did you mean nights\?"):
        check_found("night", "run")
