import errno
import os
import pathlib

import pytest

from digitmill.imaging.headers import header
from digitmill.storage import ImageReader, local_input
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.local_input import open_regular_file
from pipelines.listing.input_listing import list_images
from schemas.errors import StorageError, UserError
from schemas.failure import FailureCode, ImageError


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "a.png"
    path.write_bytes(b"content")
    return path


def listed(path: pathlib.Path) -> ListedImage:
    (image,) = list_images([str(path)])
    return image


def read(image: ListedImage) -> bytes | FailureCode:
    with ImageReader() as reader:
        (content,) = reader.read([image])
    return content.code if isinstance(content, ImageError) else content


def test_a_file_is_read(file: pathlib.Path) -> None:
    assert read(listed(file)) == b"content"


def test_a_file_that_vanished_is_missing(file: pathlib.Path) -> None:
    image = listed(file)
    file.unlink()
    assert read(image) is FailureCode.MISSING


def test_a_file_whose_folder_became_a_file_is_missing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a").write_bytes(b"x")
    image = listed(tmp_path / "d/a")
    (tmp_path / "d/a").unlink()
    (tmp_path / "d").rmdir()
    (tmp_path / "d").write_bytes(b"")
    assert read(image) is FailureCode.MISSING


def test_a_link_to_itself_is_missing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert read(listed(tmp_path / "loop")) is FailureCode.MISSING


@pytest.mark.parametrize("content", [b"another", b"longer than before", b""])
def test_a_file_that_was_overwritten_has_changed(file: pathlib.Path, content: bytes) -> None:
    image = listed(file)
    file.write_bytes(content)
    os.utime(file, ns=(1, image.generation + 1))
    assert read(image) is FailureCode.CHANGED


def test_a_file_that_grows_while_it_is_read_has_changed(
    file: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = listed(file)
    real = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: real(descriptor, size) + b"!")
    assert read(image) is FailureCode.CHANGED


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(13, "Permission denied"), FailureCode.DENIED),
        (OSError(5, "Input/output error"), FailureCode.UNREADABLE),
    ],
)
def test_the_systems_refusals_have_codes(
    file: pathlib.Path, monkeypatch: pytest.MonkeyPatch, error: OSError, code: FailureCode
) -> None:
    image = listed(file)

    def refuse(*_: object) -> int:
        raise error

    monkeypatch.setattr(os, "open", refuse)
    assert read(image) is code


TIMES = (-(10**18), -1, 0, 10_413_792_000 * 10**9, 2**63, 14 * 10**18)
"""Modification times in ns: before 1970, the epoch, 2300, and beyond int64."""


@pytest.mark.parametrize("time", TIMES)
def test_a_file_of_any_time_is_read_and_has_a_generation_of_its_own(file: pathlib.Path, time: int) -> None:
    os.utime(file, ns=(time, time))
    assert file.stat().st_mtime_ns == time, "needs a file system that keeps times up to 2446, as ext4 and xfs"
    image = listed(file)
    assert 0 <= image.generation < 2**63
    assert read(image) == b"content"
    os.utime(file, ns=(time + 1_000_000_000, time + 1_000_000_000))
    assert listed(file).generation != image.generation
    assert read(image) is FailureCode.CHANGED


def test_a_pipe_is_unreadable_and_does_not_hang(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read(listed(tmp_path / "pipe")) is FailureCode.UNREADABLE


def test_a_folder_in_a_files_place_is_unreadable(file: pathlib.Path) -> None:
    image = listed(file)
    file.unlink()
    file.mkdir()
    assert read(image) is FailureCode.UNREADABLE


def test_a_file_over_the_cap_is_not_read(file: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with file.open("wb") as sparse:
        sparse.truncate(header.MAX_BYTES + 1)
    monkeypatch.setattr(os, "read", lambda *_: pytest.fail("it was read"))
    assert read(listed(file)) is FailureCode.TOO_LARGE


def test_a_file_as_large_as_the_cap_is_read(file: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_input, "MAX_BYTES", len(b"content"))
    assert read(listed(file)) == b"content"


def test_a_pattern_looks_into_no_folder_below_its_own_depth(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "a/b/x.png").touch()
    real, looked_into = os.scandir, []

    def scandir(path: bytes) -> object:
        looked_into.append(os.path.relpath(os.fsdecode(path), tmp_path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert len(list(list_images([f"{tmp_path}/*/b/*.png"]))) == 1
    assert looked_into == [".", "a", "a/b"]


def test_one_failure_leaves_the_others(tmp_path: pathlib.Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode())
    images = list(list_images([str(tmp_path)]))
    (tmp_path / "b").unlink()
    with ImageReader() as reader:
        contents = list(reader.read(images))
    assert (contents[0], contents[2]) == (b"a", b"c")
    assert contents[1].code is FailureCode.MISSING


def test_a_folder_that_vanishes_while_it_is_listed_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("a", "b/c"):
        (tmp_path / name).touch()
    listing = list_images([str(tmp_path)])
    assert next(listing).uri.endswith("/a")
    (tmp_path / "b/c").unlink()
    (tmp_path / "b").rmdir()
    with pytest.raises(UserError, match="cannot list the folder"):
        list(listing)


def test_files_are_counted_up_to_a_bound(tmp_path: pathlib.Path) -> None:
    for number in range(6):
        (tmp_path / str(number % 2)).mkdir(exist_ok=True)
        (tmp_path / str(number % 2) / str(number)).write_bytes(b"")
    (tmp_path / "loop").symlink_to(tmp_path)
    folder = os.fsencode(tmp_path)
    assert [local_input.count_files([folder], most) for most in (0, 6, 7, 8)] == [0, 6, 7, 7]
    assert local_input.count_files([folder, folder], 9) == 9


def test_what_is_no_folder_or_cannot_be_seen_holds_nothing(
    file: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for path in (file, tmp_path / "nowhere", tmp_path / "*.png"):
        assert local_input.count_files([os.fsencode(path)], 1) == 0


def test_names_that_need_quoting_are_listed_under_the_uris_of_their_paths(tmp_path: pathlib.Path) -> None:
    names = (b"a b.png", b"%41.png", b"\xff\n.png", "ä,.png".encode(), b"plain_~-.png", b"d #/e?.png")
    for name in names:
        path = pathlib.Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    expected = {pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).as_uri() for name in names}
    assert {image.uri for image in list_images([str(tmp_path)])} == expected
    assert {image.uri for image in list_images([f"{tmp_path}/**"])} == expected


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_what_the_process_lacks_is_no_failure_of_the_image(
    number: int, file: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = listed(file)

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(local_input.os, "open", refuse)
    with ImageReader() as reader:
        with pytest.raises(StorageError, match="cannot open more files"):
            list(reader.read([image]))
        with pytest.raises(StorageError, match="cannot open more files"):
            reader.fetch(image)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_users_file_must_be_a_regular_one(tmp_path: pathlib.Path, kind: str) -> None:
    path = {"device": pathlib.Path("/dev/zero"), "folder": tmp_path}.get(kind, tmp_path / "pipe")
    if kind == "pipe":
        os.mkfifo(path)  # opening it in the usual way would wait for a writer
    with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
        open_regular_file(path)
