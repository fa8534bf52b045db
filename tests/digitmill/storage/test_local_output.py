import contextlib
import errno
import itertools
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from digitmill.storage import local_output
from digitmill.storage.interface import LOCK
from digitmill.storage.local_output import LocalFolder
from schemas.errors import StorageError, UserError


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "a.png"
    path.write_bytes(b"content")
    return path


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> LocalFolder:
    folder = LocalFolder(tmp_path / "out")
    folder.claim()
    return folder


def test_write_once_keeps_what_is_there(folder: LocalFolder) -> None:
    folder.write_once("new/x", b"first")
    folder.write_once("new/x", b"second")
    assert folder.read("new/x") == b"first"
    assert folder.names("new") == {"x"}


def test_replace_puts_the_new_in_place(folder: LocalFolder) -> None:
    for content in (b"first", b"second"):
        folder.replace("x", content)
        assert folder.read("x") == content
    assert folder.names("") == {"x"}


@pytest.mark.parametrize("method", ["write_once", "replace"])
def test_a_crash_before_the_bytes_are_safe_leaves_no_file(
    folder: LocalFolder, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(local_output.os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        getattr(folder, method)("x", b"data")
    assert folder.names("") == set()


def test_a_name_has_reached_the_disk_when_it_is_promised(
    folder: LocalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    real = os.fsync

    def fsync(handle: int) -> None:
        path = os.readlink(f"/proc/self/fd/{handle}")
        synced.append((path, (folder.path / "a/x").exists()))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    folder.write_once("a/x", b"1")
    assert synced[-1] == (str(folder.path / "a"), True)
    # Also if another writer was faster, who may not have waited for the disk yet.
    del synced[:]
    folder.write_once("a/x", b"2")
    assert synced[-1] == (str(folder.path / "a"), True)


def test_several_files_have_their_bytes_on_the_disk_before_their_names_and_share_the_folders_wait(
    folder: LocalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []
    real_sync, real_link = os.fsync, os.link

    def fsync(handle: int) -> None:
        events.append(os.path.basename(os.readlink(f"/proc/self/fd/{handle}")))
        real_sync(handle)

    def link(source: pathlib.Path, target: pathlib.Path) -> None:
        events.append(f"{source.name} named {target.name}")
        real_link(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    folder.write_once("rows/b", b"kept")
    del events[:]
    folder.write_all_once({"rows/a": b"1", "rows/b": b"2", "rows/c": b"3"})
    assert events.pop() == "rows"
    assert len(events) == 6
    for synced, named in zip(events[::2], events[1::2], strict=True):
        assert named.startswith(f"{synced} named ")
    assert [folder.read(f"rows/{name}") for name in "abc"] == [b"1", b"kept", b"3"]
    assert folder.names("rows") == {"a", "b", "c"}


@pytest.mark.parametrize(("number", "stored"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_a_file_system_that_cannot_sync_folders_serves_and_one_that_fails_does_not(
    folder: LocalFolder, monkeypatch: pytest.MonkeyPatch, number: int, stored: bool
) -> None:
    real = os.fsync

    def fsync(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(number, os.strerror(number))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with contextlib.nullcontext() if stored else pytest.raises(StorageError, match="Input/output error"):
        folder.write_once("x", b"1")


def test_of_many_writers_one_wins_and_the_file_is_whole(folder: LocalFolder) -> None:
    contents = [bytes([number]) * 100_000 for number in range(8)]
    writers = [threading.Thread(target=folder.write_once, args=("x", content)) for content in contents]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert folder.read("x") in contents
    assert folder.names("") == {"x"}


def test_a_file_system_without_links_serves(folder: LocalFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(local_output.os, "link", no_links)
    folder.write_once("x", b"first")
    folder.write_once("x", b"second")
    assert folder.read("x") == b"first"
    assert folder.names("") == {"x"}


def test_outputs_follow_the_umask(folder: LocalFolder) -> None:
    folder.write_once("x", b"")
    (folder.path / "y").touch()
    assert (folder.path / "x").stat().st_mode == (folder.path / "y").stat().st_mode


def test_what_is_not_there_is_said_so(folder: LocalFolder) -> None:
    assert not folder.exists("x")
    assert folder.names("statistics") == set()
    with pytest.raises(FileNotFoundError):
        folder.read("x")
    assert folder.at("a/b") == f"{folder.place}/a/b"


def test_what_it_cannot_do_later_on_is_a_fault_of_the_storage(folder: LocalFolder) -> None:
    (folder.path / "predictions").write_bytes(b"a file where a folder should be")
    for use in (folder.write_once, folder.replace):
        with pytest.raises(StorageError, match="cannot read or write the output"):
            use("predictions/x", b"1")
    with pytest.raises(StorageError, match="not a regular file"):
        LocalFolder(folder.path.parent).read(folder.path.name)


def test_it_is_walked_and_cleared(folder: LocalFolder) -> None:
    for name in ("a", "b/c", "b/d/e"):
        folder.write_once(name, b"1")
    assert sorted(folder.walk()) == ["a", "b/c", "b/d/e"]
    folder.delete("b/c")
    folder.delete("b/c")
    assert sorted(folder.walk()) == ["a", "b/d/e"]


def test_a_launcher_killed_before_it_began_leaves_a_folder_that_is_free(folder: LocalFolder) -> None:
    for name in (".claim.0123456789abcdef.tmp", ".run.json.0123456789abcdef.tmp", LOCK):
        (folder.path / name).touch()
    folder.check("manifest.json")
    (folder.path / "notes.txt").touch()
    with pytest.raises(UserError, match="is not empty"):
        folder.check("manifest.json")


def test_a_file_is_no_output(file: pathlib.Path) -> None:
    with pytest.raises(UserError, match="the output is a file, not a folder"):
        LocalFolder(file).check("manifest.json")


def test_a_lock_that_cannot_be_opened_is_refused(folder: LocalFolder) -> None:
    (folder.path / LOCK).mkdir(parents=True)
    with pytest.raises(UserError, match="cannot lock the output folder"), folder.hold():
        pass


def test_a_folder_that_goes_away_under_a_launcher_is_made_again(
    folder: LocalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = LocalFolder.claim
    claims = []

    def claim(self: LocalFolder) -> None:
        real(self)
        claims.append(1)
        if len(claims) == 1:
            folder.path.rmdir()  # as a launcher does that made it and came to nothing

    monkeypatch.setattr(LocalFolder, "claim", claim)
    with folder.hold():
        assert (folder.path / LOCK).exists()


def test_a_file_in_a_folders_place_holds_nothing(file: pathlib.Path) -> None:
    assert LocalFolder(file).names("") == set()
    assert LocalFolder(file).folders() == set()
    with pytest.raises(FileNotFoundError):
        LocalFolder(file).read("manifest.json")


def test_it_knows_when_a_file_was_written(folder: LocalFolder) -> None:
    folder.write_once("x", b"1")
    os.utime(folder.path / "x", (1, 1))
    assert folder.written("x").isoformat() == "1970-01-01T00:00:01+00:00"
    with pytest.raises(FileNotFoundError):
        folder.written("y")


def test_of_two_launchers_the_second_is_refused(folder: LocalFolder) -> None:
    with folder.hold() as hold:
        hold.confirm()
        with pytest.raises(UserError, match="another launcher is writing"), folder.hold():
            pass
        folder.write_once("x", b"1")
    with folder.hold():
        pass
    assert folder.names("") == {"x"}


def test_a_hold_that_came_to_nothing_leaves_nothing(folder: LocalFolder) -> None:
    folder.path.rmdir()
    with folder.hold():
        folder.check("manifest.json")
    assert not folder.path.exists()


def test_a_folder_that_was_removed_is_not_made_again_by_writing(folder: LocalFolder) -> None:
    folder.write_once("predictions/a", b"1")
    shutil.rmtree(folder.path)
    for use in (folder.write_once, folder.replace):
        for name in ("run.json", "predictions/a"):
            with pytest.raises(StorageError, match="the output folder was removed"):
                use(name, b"1")
    assert not folder.path.exists()


def test_a_launcher_notices_that_its_folder_was_removed(folder: LocalFolder) -> None:
    with folder.hold() as hold:
        hold.confirm()
        shutil.rmtree(folder.path)
        with pytest.raises(StorageError, match="the output folder was removed"):
            hold.confirm()
        folder.path.mkdir()
        with pytest.raises(StorageError, match="the output folder was removed"):
            hold.confirm()


def test_a_launcher_that_lost_its_folder_leaves_the_lock_of_the_next_one(folder: LocalFolder) -> None:
    with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        lost = first.enter_context(folder.hold())
        shutil.rmtree(folder.path)
        hold = second.enter_context(folder.hold())
        with pytest.raises(StorageError, match="the output folder was removed"):
            lost.confirm()
        first.close()
        hold.confirm()
        with pytest.raises(UserError, match="another launcher is writing"), folder.hold():
            pass
        hold.confirm()
    with folder.hold():
        pass


def test_of_many_launchers_at_once_one_wins(folder: LocalFolder) -> None:
    winners, losers = [], []
    barrier, done = threading.Barrier(8), threading.Event()

    def launch() -> None:
        barrier.wait()
        try:
            with folder.hold():
                winners.append(1)
                done.wait(20)
        except UserError:
            losers.append(1)
            if len(losers) == 7:
                done.set()

    threads = [threading.Thread(target=launch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(winners), len(losers)) == (1, 7)


def test_a_launcher_that_was_killed_holds_nothing(folder: LocalFolder) -> None:
    code = (
        "import pathlib, sys, time\nfrom digitmill.storage.local_output import LocalFolder\n"
        "with LocalFolder(pathlib.Path(sys.argv[1])).hold():\n    print(flush=True)\n    time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(UserError, match="another launcher is writing"), folder.hold():
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    with folder.hold():
        pass


def test_a_large_file_appears_when_it_is_complete(tmp_path: pathlib.Path) -> None:
    folder = LocalFolder(tmp_path)
    with folder.create("a/rows") as file:
        file.write(b"one")
        assert not folder.exists("a/rows")
        file.write(b"two")
    assert folder.read("a/rows") == b"onetwo"
    assert [*folder.walk()] == ["a/rows"]


def test_a_large_file_is_not_replaced_unless_that_is_asked(tmp_path: pathlib.Path) -> None:
    folder = LocalFolder(tmp_path)
    folder.replace("rows", b"old")
    with pytest.raises(FileExistsError), folder.create("rows"):
        pass
    with pytest.raises(FileExistsError), folder.create("new"):
        folder.replace("new", b"of another writer")
    assert (folder.read("rows"), folder.read("new")) == (b"old", b"of another writer")
    with folder.create("rows", replace=True) as file:
        file.write(b"new")
    assert folder.read("rows") == b"new"


def test_a_large_file_that_is_given_up_leaves_nothing(tmp_path: pathlib.Path) -> None:
    folder = LocalFolder(tmp_path)
    lost: dict[str, bytes] = {}
    pieces = itertools.chain([b"half"], map(lost.__getitem__, ["the rest"]))
    with pytest.raises(KeyError), folder.create("rows") as file:
        file.writelines(pieces)
    assert [*folder.walk()] == []
