import os
import pathlib
import threading

import pytest

from imaging import header
from imaging.errors import ImageError
from pipelines import storage
from pipelines.listing import list_images
from pipelines.storage import read_images, replace, write_once
from pipelines.work_item import ListedImage
from schemas.failure import FailureCode


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "a.png"
    path.write_bytes(b"content")
    return path


def listed(path: pathlib.Path) -> ListedImage:
    (image,) = list_images([str(path)])
    return image


def read(image: ListedImage) -> bytes | FailureCode:
    (content,) = read_images([image])
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
        (OSError(24, "Too many open files"), FailureCode.UNREADABLE),
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


def test_one_failure_leaves_the_others(tmp_path: pathlib.Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode())
    images = list_images([str(tmp_path)])
    (tmp_path / "b").unlink()
    contents = list(read_images(images))
    assert (contents[0], contents[2]) == (b"a", b"c")
    assert contents[1].code is FailureCode.MISSING


def test_write_once_keeps_what_is_there(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "new" / "x"
    write_once(target, b"first")
    write_once(target, b"second")
    assert target.read_bytes() == b"first"
    assert list(target.parent.iterdir()) == [target]


def test_replace_puts_the_new_in_place(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "x"
    for content in (b"first", b"second"):
        replace(target, content)
        assert target.read_bytes() == content
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("write", [write_once, replace])
def test_a_crash_before_the_bytes_are_safe_leaves_no_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, write: object
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "x", b"data")
    assert list(tmp_path.iterdir()) == []


def test_of_many_writers_one_wins_and_the_file_is_whole(tmp_path: pathlib.Path) -> None:
    contents = [bytes([number]) * 100_000 for number in range(8)]
    writers = [threading.Thread(target=write_once, args=(tmp_path / "x", content)) for content in contents]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert (tmp_path / "x").read_bytes() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_outputs_follow_the_umask(tmp_path: pathlib.Path) -> None:
    write_once(tmp_path / "x", b"")
    (tmp_path / "y").touch()
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "y").stat().st_mode
