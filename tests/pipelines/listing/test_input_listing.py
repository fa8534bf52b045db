import errno
import os
import pathlib
import shutil
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitmill.storage import ImageReader, Selection, Survey
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import path_of, readable
from pipelines.listing.input_listing import (
    Listing,
    check_output_outside_inputs,
    list_images,
    read_input_list,
    stable_sample,
)
from schemas.errors import StorageError, UserError
from schemas.failure import FailureCode


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


def test_a_folder_that_several_links_lead_to_is_listed_under_the_first(tree: pathlib.Path) -> None:
    for name in ("a/deep/b", "c"):
        (tree / name).symlink_to(tree / "b")
    found = names([tree], tree)
    assert [name for name in found if name.endswith("2.png")] == ["a/deep/b/2.png"]


def test_folders_that_link_to_each_other_are_listed_once(tmp_path: pathlib.Path) -> None:
    for folder in "abcdefgh":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").touch()
        for other in "abcdefgh":
            (tmp_path / folder / f"link-{other}").symlink_to(tmp_path / other)
    for inputs in (["."], ["**"], ["**/1.png"], ["a", "h"]):
        images = list_images([str(tmp_path / given) for given in inputs])
        found = [os.path.realpath(path_of(image.uri)) for image in images]
        assert len(found) == len(set(found)) == 8


def test_inputs_that_overlap_through_links_list_a_file_once(tmp_path: pathlib.Path) -> None:
    for name in ("in/a.png", "store/b.png", "store/deep/c.png", "store/d.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "in/link").symlink_to(tmp_path / "store")
    every = {"a.png", "b.png", "c.png", "d.jpg"}
    for inputs, expected in (
        (["in", "store"], every),
        (["store", "in"], every),
        (["in", "in/link"], every),
        (["in/link", "in/link/deep"], every - {"a.png"}),
        (["in", "store/*.png"], every),
        (["store/*.png", "in"], every),
        (["store/*.png", "in/link/*.jpg", "in/*/*.png"], {"b.png", "d.jpg"}),
    ):
        found = list(list_images([str(tmp_path / given) for given in inputs]))
        assert sorted(os.path.basename(image.uri) for image in found) == sorted(expected), inputs


def test_a_pattern_finds_what_lies_behind_a_link_at_another_depth(tmp_path: pathlib.Path) -> None:
    for name in ("b/c/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a").mkdir()
    (tmp_path / "a/link").symlink_to(tmp_path / "b")
    assert names([f"{tmp_path}/*/*/*.png"], tmp_path) == ["a/link/2.png", "b/c/1.png"]
    assert names([f"{tmp_path}/b/**/1.png"], tmp_path) == ["b/c/1.png"]
    assert names([f"{tmp_path}/**/link/*.png"], tmp_path) == ["a/link/2.png"]


SPELLINGS = (
    "{}/in",
    "{}/in/",
    "{}//in",
    "{}/./in",
    "{}/in/../in",
    "{}/link",
    "{}/up/../in",
    "file://{}//link",
)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("rest", ["", "/a", "/*/1.png", "//a//*.png", "/a/1.png", "/a/../a/1.png"])
def test_a_file_has_one_name_however_its_input_is_written(
    tmp_path: pathlib.Path, spelling: str, rest: str
) -> None:
    (tmp_path / "in/a").mkdir(parents=True)
    (tmp_path / "in/a/1.png").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    (tmp_path / "up").symlink_to(tmp_path / "in")
    given = spelling.format(tmp_path).rstrip("/") + rest
    expected = (tmp_path / "in/a/1.png").as_uri()
    assert [image.uri for image in list_images([given])] == [expected]
    assert [image.uri for image in list_images([str(tmp_path / "in"), given])] == [expected]


def test_links_below_an_input_keep_their_names(tmp_path: pathlib.Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store/1.png").touch()
    (tmp_path / "in").mkdir()
    (tmp_path / "in/3").symlink_to(tmp_path / "store")
    (tmp_path / "in/file.png").symlink_to(tmp_path / "store/1.png")
    assert names([tmp_path / "in"], tmp_path) == ["in/3/1.png", "in/file.png"]
    assert names([tmp_path / "in/file.png"], tmp_path) == ["in/file.png"]


def test_an_input_list_knows_a_file_by_the_real_path_of_its_folder(tree: pathlib.Path) -> None:
    (tree / "link").symlink_to(tree / "a")
    lines = ("link/1.png", "a/1.png", "a/../a/1.png", f"{tree}//link/1.png", "b/./2.png", "")
    (tree / "list").write_text("\n".join(lines))
    found = [os.path.relpath(readable(image.uri), tree) for image in read_input_list(str(tree / "list"))]
    assert found == ["a/1.png", "b/2.png"]


JUNK = (
    *(".DS_Store", "Thumbs.db", "desktop.ini", "._1.png"),
    *("manifest.json", "run.yaml", "run.json", "labels.csv", "failures.csv"),
)


def test_junk_is_ignored_and_counted_but_not_where_an_input_names_it(tmp_path: pathlib.Path) -> None:
    for name in (*JUNK, *(f"deep/{name}" for name in JUNK), "__MACOSX/a/1.png", "1.png", "deep/2.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for place in (tmp_path, f"{tmp_path}/**"):
        survey = Survey()
        found = [image.uri for image in list_images([str(place)], survey=survey)]
        assert [os.path.basename(uri) for uri in found] == ["1.png", "2.json"]
        assert survey.ignored == 2 * len(JUNK) + 1
    for exact in (*JUNK, "__MACOSX"):
        assert len(list(list_images([str(tmp_path / exact)]))) == 1


def test_files_are_included_and_excluded_by_names_relative_to_the_input(tree: pathlib.Path) -> None:
    def chosen(given: str, *, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> tuple:
        survey = Survey(Selection(include, exclude))
        found = list_images([str(tree / given)], survey=survey)
        return [os.path.relpath(readable(image.uri), tree) for image in found], survey.ignored

    assert chosen("", include=("**/*.png",)) == (["a/1.png", "b/2.png"], 3)
    assert chosen("", include=("*/*.png", "5"), exclude=("b/**",)) == (["5", "a/1.png"], 3)
    assert chosen("a", exclude=("deep/**",)) == (["a/1.png"], 1)
    assert chosen("a/**", include=("*.png",)) == (["a/1.png"], 1)
    assert chosen("a/1.png", exclude=("**",)) == (["a/1.png"], 0)
    for place in ("a", "a/*.png"):
        with pytest.raises(UserError, match="the input holds no images"):
            chosen(place, exclude=("**",))


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
    found = read_input_list(str(tree / "list"))
    assert [os.path.relpath(readable(image.uri), tree) for image in found] == expected
    assert all(image.size > 0 for image in found)


def test_an_input_list_names_a_file_once_however_it_is_quoted(tree: pathlib.Path) -> None:
    path = str(tree / "5")
    (tree / "list").write_text(f"file://{path}\nfile:///{path}\nfile://{path[:-1]}%35\n{path}\n")
    assert len(read_input_list(str(tree / "list"))) == 1


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"http://x/a.png\n", b"file:///a%00.png\n", b"gs:///x\n", b"gs://b\n", b"gs://b/\xff\n"),
        "a.png".encode("utf-16"),
    ],
)
def test_an_unusable_input_list_is_refused(tree: pathlib.Path, content: bytes) -> None:
    (tree / "list").write_bytes(content)
    with pytest.raises(UserError):
        read_input_list(str(tree / "list"))


@pytest.mark.parametrize("output", ["in/out", "in", "link/out"])
def test_an_output_in_an_input_is_refused(tmp_path: pathlib.Path, output: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(UserError, match="the output is inside an input"):
        check_output_outside_inputs([str(tmp_path / "in")], str(tmp_path / output))
    check_output_outside_inputs([str(tmp_path / "in")], str(tmp_path / "in-2"))
    with pytest.raises(UserError, match="the output is inside an input"):
        check_output_outside_inputs(["gs://b/"], "gs://b/out")
    check_output_outside_inputs(["gs://b/in", "s3://b"], "gs://b/out")


@pytest.mark.parametrize("pattern", ["in/**", "in/*/*", "in/**/*.csv", "**/*.html", "in/o?t/**"])
def test_an_output_whose_files_a_pattern_matches_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="the output is inside an input"):
        check_output_outside_inputs([pattern], str(tmp_path / "in/out"))
    with pytest.raises(UserError, match="the output is inside an input"):
        check_output_outside_inputs([f"gs://b/{pattern}"], "gs://b/in/out")
    for harmless in ("in/**/*.png", "in/*", "other/**"):
        check_output_outside_inputs([harmless], str(tmp_path / "in/out"))


def test_an_output_in_a_folder_with_brackets_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "in[1]").mkdir()
    with pytest.raises(UserError, match="the output is inside an input"):
        check_output_outside_inputs([str(tmp_path / "in[1]")], str(tmp_path / "in[1]/out"))


def test_a_broken_link_is_listed(tree: pathlib.Path) -> None:
    (tree / "a/gone.png").symlink_to(tree / "nowhere")
    (image,) = list_images([str(tree / "a/gone.png")])
    assert image.size == -1
    assert "a/gone.png" in names([tree], tree)


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("missing", "input not found"),
        ("*.nothing", "no file matches the pattern"),
        ("empty", "the input holds no files"),
        ("ftp://host/x", "neither a path nor an address in gs://"),
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


@pytest.fixture
def denied(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the folders of a name impossible to list: the tests may run as root, who may read all."""

    def deny(name: str, error: OSError | None = None) -> None:
        scandir = os.scandir

        def refuse(path: bytes) -> object:
            if os.path.basename(path.rstrip(b"/")) == name.encode():
                raise error or PermissionError(13, "Permission denied", path)
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refuse)

    return deny


@pytest.mark.parametrize("given", ["", "**/*.jpg", "a/*/er/*"])
def test_a_folder_that_cannot_be_listed_is_named(tree: pathlib.Path, denied: Callable, given: str) -> None:
    denied("deep")
    with pytest.raises(UserError, match="Permission denied") as caught:
        list(list_images([str(tree / given)]))
    assert caught.value.value == str(tree / "a/deep")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), FailureCode.DENIED),
        (OSError(errno.EIO, "Input/output error"), FailureCode.UNREADABLE),
        (OSError(errno.ENAMETOOLONG, "File name too long"), FailureCode.UNREADABLE),
    ],
)
def test_a_folder_that_cannot_be_listed_is_an_entry_that_fails(
    tree: pathlib.Path, denied: Callable, error: OSError, code: FailureCode
) -> None:
    denied("deep", error)
    for place, expected in (
        ("", [".hidden/4", "5", "a/1.png", "a/deep", "b/2.png"]),
        ("**/*.jpg", ["a/deep"]),
        ("a/*/er/*", ["a/deep"]),
        ("a/*.png", ["a/1.png"]),
    ):
        survey = Survey(strict=False)
        images = list(list_images([str(tree / place)], survey=survey))
        assert [os.path.relpath(readable(image.uri), tree) for image in images] == expected
        assert survey.vanished == 0
        with ImageReader() as reader:
            for image, content in zip(images, reader.read(images), strict=True):
                if image.uri.endswith("/"):
                    assert content.code is code
                    assert (image.generation, image.size) == (0, -1)


def test_a_folder_that_can_be_listed_again_is_unreadable_in_this_run(
    tree: pathlib.Path, denied: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied("deep")
    images = list(list_images([str(tree)], survey=Survey(strict=False)))
    monkeypatch.undo()
    with ImageReader() as reader:
        (failure,) = [content for content in reader.read(images) if not isinstance(content, bytes)]
    assert failure.code is FailureCode.UNREADABLE
    assert "could not be listed" in failure.detail


def test_an_excluded_folder_need_not_be_readable(tree: pathlib.Path, denied: Callable) -> None:
    denied("deep")
    survey = Survey(Selection(exclude=("a/deep/**",)))
    assert len(list(list_images([str(tree)], survey=survey))) == 4
    assert survey.ignored == 1


def test_too_many_open_files_end_the_listing(tree: pathlib.Path, denied: Callable) -> None:
    denied("deep", OSError(errno.EMFILE, "Too many open files"))
    # What is scored already stays: with an error of the user's it would be removed.
    with pytest.raises(StorageError, match="Too many open files"):
        list(list_images([str(tree)], survey=Survey(strict=False)))


def test_a_folder_that_holds_nothing_but_a_link_to_itself_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    with pytest.raises(UserError, match="the input holds no files"):
        list(list_images([str(tmp_path)]))
    (tmp_path / ".DS_Store").touch()
    with pytest.raises(UserError, match="the input holds no images"):
        list(list_images([str(tmp_path)]))


def test_an_input_that_cannot_be_listed_is_refused(tree: pathlib.Path, denied: Callable) -> None:
    denied("a")
    for place in ("a", "a/*"):
        with pytest.raises(UserError, match="Permission denied"):
            list(list_images([str(tree / place)], survey=Survey(strict=False)))


def test_folders_that_vanish_are_counted_and_reported_once(
    tree: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    survey = Survey(strict=False)
    listing = list_images([str(tree)], survey=survey)
    found = [next(listing)]
    for name in ("a", "b"):
        shutil.rmtree(tree / name)
    found += listing
    assert [os.path.relpath(readable(image.uri), tree) for image in found] == [".hidden/4", "5"]
    assert survey.vanished == 2
    assert capsys.readouterr().err.count("2 folders vanished") == 1


def test_a_folder_deeper_than_paths_may_be_is_an_entry(tmp_path: pathlib.Path) -> None:
    (tmp_path / "in").mkdir()
    here = os.open(tmp_path / "in", os.O_RDONLY)
    try:
        for _ in range(20):
            os.mkdir("d" * 250, dir_fd=here)
            below = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
            os.close(os.open("1.png", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    finally:
        os.close(here)
    images = list(list_images([str(tmp_path / "in")], survey=Survey(strict=False)))
    assert images[-1].uri.endswith("d/")
    assert 10 < len(images) < 20
    with ImageReader() as reader:
        (content,) = reader.read(images[-1:])
    assert content.code is FailureCode.UNREADABLE
    shutil.rmtree(tmp_path / "in")


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
