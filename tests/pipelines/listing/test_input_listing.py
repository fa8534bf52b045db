import os
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import path_of, readable
from pipelines.listing.input_listing import (
    Listing,
    check_output_outside_inputs,
    list_images,
    read_input_list,
    stable_sample,
)
from schemas.errors import UserError


def names(inputs: list[object], root: pathlib.Path) -> list[str]:
    return [
        os.path.relpath(readable(image.uri), root) for image in list_images([str(given) for given in inputs])
    ]


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    for name in ("b/2.png", "a/1.png", "a/deep/er/3.jpg", ".hidden/4", "5"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def test_a_folder_is_walked_to_any_depth_and_sorted(tree: pathlib.Path) -> None:
    assert names([tree], tree) == [".hidden/4", "5", "a/1.png", "a/deep/er/3.jpg", "b/2.png"]


def test_the_listing_knows_size_and_version(tree: pathlib.Path) -> None:
    (image,) = list_images([str(tree / "a/1.png")])
    status = (tree / "a/1.png").stat()
    assert (image.size, image.generation) == (status.st_size, status.st_mtime_ns)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*/*.png", ["a/1.png", "b/2.png"]),
        ("**/*.jpg", ["a/deep/er/3.jpg"]),
        ("?", ["5"]),
        ("a/**", ["a/1.png", "a/deep/er/3.jpg"]),
        ("[ab]/[12].png", ["a/1.png", "b/2.png"]),
    ],
)
def test_patterns(tree: pathlib.Path, pattern: str, expected: list[str]) -> None:
    assert names([tree / pattern], tree) == expected


def test_an_image_in_several_inputs_is_listed_once(tree: pathlib.Path) -> None:
    assert names([tree / "a", tree / "a/1.png", tree / "*/1.png"], tree) == ["a/1.png", "a/deep/er/3.jpg"]


@pytest.mark.parametrize(
    "name", ["[1].png", "a*b", "what?", " ", "=1+1", "a,b", '"', "%2F", "é", "e\u0301", "a\nb"]
)
def test_a_name_with_magic_characters_is_not_a_pattern(tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    for place in (tmp_path, tmp_path / name):
        (image,) = list_images([str(place)])
        assert path_of(image.uri) == os.fsencode(tmp_path / name)


def test_a_name_that_is_not_utf_8_keeps_its_bytes(tmp_path: pathlib.Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\xfe.png"
    with open(path, "wb"):
        pass
    (image,) = list_images([str(tmp_path)])
    assert path_of(image.uri) == path


def test_link_loops_end(tree: pathlib.Path) -> None:
    (tree / "a/deep/up").symlink_to(tree)
    (tree / "b/self").symlink_to(tree / "b")
    found = names([tree], tree)
    assert {"5", "a/1.png", "b/2.png"} <= set(found)
    assert len(found) < 30


def test_a_folder_that_several_links_lead_to_is_listed_under_each(tree: pathlib.Path) -> None:
    for name in ("a/deep/b", "c"):
        (tree / name).symlink_to(tree / "b")
    found = names([tree], tree)
    assert [name for name in found if name.endswith("2.png")] == ["a/deep/b/2.png", "b/2.png", "c/2.png"]


def test_a_pattern_does_not_follow_link_loops(tree: pathlib.Path) -> None:
    (tree / "a/loop").symlink_to(tree / "a")
    assert names([tree / "**/*.png"], tree) == ["a/1.png", "b/2.png"]
    assert names([tree / "a/**"], tree) == ["a/1.png", "a/deep/er/3.jpg"]


def test_a_link_in_a_circle_is_listed(tree: pathlib.Path) -> None:
    (tree / "a/self").symlink_to(tree / "a/self")
    assert "a/self" in names([tree], tree)


def test_a_linked_file_keeps_a_readable_name(tmp_path: pathlib.Path) -> None:
    (tmp_path / "target/b").mkdir(parents=True)
    (tmp_path / "target/imgs").mkdir()
    (tmp_path / "target/imgs/a.png").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "target/b")
    (image,) = list_images([str(tmp_path / "link/../imgs")])
    assert pathlib.Path(os.fsdecode(path_of(image.uri))).read_bytes() == b"x"


def test_an_input_may_be_named_by_its_uri(tree: pathlib.Path) -> None:
    assert names([(tree / "a").as_uri()], tree) == ["a/1.png", "a/deep/er/3.jpg"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/1.png\n5\n", ["5", "a/1.png"]),
        ("a/1.png\r\n5\r\n", ["5", "a/1.png"]),
        ('"path","label"\n"a/1.png",3\n', ["a/1.png"]),
        ("label,Image\n3,5\n", ["5"]),
        ("./5\n.//5\n", ["5"]),
    ],
)
def test_input_lists(tree: pathlib.Path, text: str, expected: list[str]) -> None:
    (tree / "list").write_bytes(text.encode())
    found = read_input_list(tree / "list")
    assert [os.path.relpath(readable(image.uri), tree) for image in found] == expected
    assert all(image.size > 0 for image in found)


def test_an_input_list_names_a_file_once_however_it_is_quoted(tree: pathlib.Path) -> None:
    path = str(tree / "5")
    (tree / "list").write_text(f"file://{path}\nfile:///{path}\nfile://{path[:-1]}%35\n{path}\n")
    assert len(read_input_list(tree / "list")) == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"http://x/a.png\n", b"gs:///x\n", b"gs://b\n", b"gs://b/\xff\n", "a.png".encode("utf-16")],
)
def test_an_unusable_input_list_is_refused(tree: pathlib.Path, content: bytes) -> None:
    (tree / "list").write_bytes(content)
    with pytest.raises(UserError):
        read_input_list(tree / "list")


@pytest.mark.parametrize("output", ["in/out", "in", "link/out"])
def test_an_output_in_an_input_is_refused(tmp_path: pathlib.Path, output: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(UserError, match="the output lies in an input"):
        check_output_outside_inputs([str(tmp_path / "in")], str(tmp_path / output))
    check_output_outside_inputs([str(tmp_path / "in")], str(tmp_path / "in-2"))
    with pytest.raises(UserError, match="the output lies in an input"):
        check_output_outside_inputs(["gs://b/"], "gs://b/out")
    check_output_outside_inputs(["gs://b/in", "s3://b"], "gs://b/out")


@pytest.mark.parametrize("pattern", ["in/**", "in/*/*", "in/**/*.csv", "**/*.html", "in/o?t/**"])
def test_an_output_whose_files_a_pattern_matches_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="the output lies in an input"):
        check_output_outside_inputs([pattern], str(tmp_path / "in/out"))
    with pytest.raises(UserError, match="the output lies in an input"):
        check_output_outside_inputs([f"gs://b/{pattern}"], "gs://b/in/out")
    for harmless in ("in/**/*.png", "in/*", "other/**"):
        check_output_outside_inputs([harmless], str(tmp_path / "in/out"))


def test_an_output_in_a_folder_with_brackets_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "in[1]").mkdir()
    with pytest.raises(UserError, match="the output lies in an input"):
        check_output_outside_inputs([str(tmp_path / "in[1]")], str(tmp_path / "in[1]/out"))


def test_a_broken_link_is_listed(tree: pathlib.Path) -> None:
    (tree / "a/gone.png").symlink_to(tree / "nowhere")
    (image,) = list_images([str(tree / "a/gone.png")])
    assert image.size == -1
    assert "a/gone.png" in names([tree], tree)


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("missing", "an input exists"),
        ("*.nothing", "a pattern matches at least one file"),
        ("empty", "input holds no files"),
        ("ftp://host/x", "an input is a path or a place in a bucket"),
    ],
)
def test_an_input_without_images_is_refused(
    tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch, given: str, rule: str
) -> None:
    monkeypatch.chdir(tree)
    (tree / "empty").mkdir()
    with pytest.raises(UserError, match=rule) as caught:
        list(list_images([str(tree / "a"), given]))
    assert caught.value.value == given


def test_a_folder_that_cannot_be_listed_is_named(tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def denied(path: bytes) -> object:
        if path.endswith(b"/deep"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(UserError, match="Permission denied") as caught:
        list(list_images([str(tree)]))
    assert caught.value.value == str(tree / "a/deep")


def listed(count: int) -> list[ListedImage]:
    return [ListedImage(f"file:///in/{number:04d}.png", 1, 1) for number in range(count)]


@given(st.integers(1, 50), st.randoms())
def test_a_sample_is_the_same_in_any_order(count: int, order: object) -> None:
    images = listed(40)
    chosen = stable_sample(images, count)
    shuffled = list(images)
    order.shuffle(shuffled)
    assert stable_sample(shuffled, count) == chosen
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(count, 40)


def test_a_sample_is_stable() -> None:
    before = set(stable_sample(listed(1000), 100))
    gone = next(iter(before))
    after = set(stable_sample([image for image in listed(1010) if image != gone], 100))
    assert len(before - after) <= 1 + 10
    assert gone not in after


def test_several_inputs_are_merged_in_order(tree: pathlib.Path) -> None:
    (tree / "a.png").touch()
    (tree / "a-b").mkdir()
    (tree / "a-b/1").touch()
    found = [
        os.fsdecode(path_of(image.uri))
        for image in list_images([str(tree / "b"), str(tree), str(tree / "a")])
    ]
    assert found == sorted(found, key=os.fsencode)
    assert len(found) == len(set(found)) == sum(1 for path in tree.rglob("*") if path.is_file())


def test_begin_lists_the_first_image(tree: pathlib.Path) -> None:
    listing = Listing(list_images([str(tree)]), limit=3)
    listing.begin()
    assert len(list(listing)) == 3
    with pytest.raises(UserError):
        Listing(list_images([str(tree / "none")])).begin()
