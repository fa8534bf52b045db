import pathlib

import pytest

from digitmill.storage.names import uri_of
from pipelines.listing.relative_names import LIST_FOLDERS, RelativeNames, list_folders


@pytest.mark.parametrize(
    ("inputs", "uri", "path"),
    [
        (["/in"], "file:///in/a/b.png", "a/b.png"),
        (["/in/*/b.png"], "file:///in/a/b.png", "a/b.png"),
        (["/in/**/*.png"], "file:///in/a/b.png", "a/b.png"),
        (["/in/a/b.png"], "file:///in/a/b.png", "b.png"),
        (["/in", "/in/a/b.png"], "file:///in/a/c.png", "a/c.png"),
        (["/in", "/in/a"], "file:///in/a/b.png", "b.png"),
        (["/other"], "file:///in/a/b.png", "/in/a/b.png"),
        (["/in"], "file:///in/scan.tif!2", "scan.tif!2"),
        (["/in/scan.tif"], "file:///in/scan.tif!2", "scan.tif!2"),
        (["/in"], "file:///in/forms.zip!a/1.tif!2", "forms.zip!a/1.tif!2"),
        (["/in/forms.zip"], "file:///in/forms.zip!a/1.png", "forms.zip!a/1.png"),
        (["/in"], "file:///in/b%C3%A4r%20x/%FF.png", "bär x/\\xff.png"),
        (["/b\u00e4r"], "file:///b%C3%A4r/a.png", "a.png"),
        (["/in"], "file:///in/%3D1%2B1.png", "./=1+1.png"),
        (["gs://bucket/in"], "gs://bucket/in/@a.png", "./@a.png"),
        (["gs://bucket/in"], "gs://bucket/in/50%25.png", "50%25.png"),
        (["gs://bucket"], "gs://bucket/in//b.png", "in//b.png"),
        (["gs://bucket/i*/b.png"], "gs://bucket/in/b.png", "in/b.png"),
        (["gs://b*"], "gs://bucket/b.png", "gs://bucket/b.png"),
        (["/in"], "file:///in/", "./"),
        (["/"], "file:///a.png", "a.png"),
        ([], "file:///in/a.png", "/in/a.png"),
    ],
)
def test_a_path_counts_from_the_innermost_input(inputs: list[str], uri: str, path: str) -> None:
    assert RelativeNames(tuple(inputs)).paths([uri]) == [path]


def test_the_images_of_a_folder_may_be_in_several_inputs() -> None:
    names = RelativeNames(("/in", "/in/a/b.png"))
    uris = ["file:///in/a/a.png", "file:///in/a/b.png", "file:///in/a/c.png", "file:///in/d.png"]
    assert names.paths(uris) == ["a/a.png", "b.png", "a/c.png", "d.png"]


def test_images_of_a_list_count_from_where_its_own_names_do(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "link").symlink_to("lists")
    monkeypatch.chdir(tmp_path)
    names = RelativeNames.of((), {LIST_FOLDERS: list_folders("link/tonight.csv")})
    inside = uri_of(bytes(tmp_path.resolve() / "lists" / "a" / "b.png"))
    assert names.paths([inside, "file:///elsewhere/c.png", "gs://bucket/d.png"]) == [
        "a/b.png",
        "/elsewhere/c.png",
        "gs://bucket/d.png",
    ]
    assert RelativeNames.of((), {}) == RelativeNames.of((), {LIST_FOLDERS: list_folders(None)})
    bucket = RelativeNames.of((), {LIST_FOLDERS: list_folders("gs://bucket/lists/tonight.txt")})
    assert bucket.paths(["gs://bucket/lists/a.png", "gs://bucket/b.png"]) == ["a.png", "gs://bucket/b.png"]
