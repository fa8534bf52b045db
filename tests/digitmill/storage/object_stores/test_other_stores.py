"""S3 and Azure, read from and written to servers that speak their protocols."""

import concurrent.futures
import datetime
import json
import time

import obstore
import pytest
from obstore import exceptions as refused

from digitmill.storage import (
    ImageReader,
    ListedImage,
    NothingFoundError,
    OutputFolder,
    Selection,
    Survey,
    list_place,
    open_folder,
    open_place,
)
from digitmill.storage.interface import LOCK
from digitmill.storage.object_stores import lease, obstore_bucket, retries
from digitmill.storage.object_stores.bucket import RELEASED
from digitmill.storage.object_stores.stores import listed_object
from schemas.errors import StorageError, UserError
from schemas.failure import FailureCode, ImageError
from tests.other_stores import Store


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(retries, "LONGEST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.6)
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.1)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.05)


@pytest.fixture
def folder(other_store: Store) -> OutputFolder:
    return open_folder(f"{other_store.uri}/a/run/")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", ["in-old/x.png", "in/3/a.png", "in/b c.png", "in/x[1].png", "in/é.png", "scan[1]/y.png"]),
        ("in", ["in/3/a.png", "in/b c.png", "in/x[1].png", "in/é.png"]),
        ("in/*.png", ["in/b c.png", "in/x[1].png", "in/é.png"]),
        ("in/**/[ab]*.png", ["in/3/a.png", "in/b c.png"]),
        ("in/x[1].png", ["in/x[1].png"]),
        ("scan[1]/", ["scan[1]/y.png"]),
    ],
)
def test_objects_are_listed_and_read(other_store: Store, given: str, expected: list[str]) -> None:
    for name in ("in/3/a.png", "in/b c.png", "in/é.png", "in/x[1].png", "in-old/x.png", "scan[1]/y.png"):
        other_store.put(name, name.encode())
    images = sorted(list_place(f"{other_store.uri}/{given}"))
    assert [image.uri.removeprefix(f"{other_store.uri}/") for image in images] == expected
    assert all(image.generation > 0 and image.size > 0 and image.checksum for image in images)
    with ImageReader() as reader:
        assert list(reader.read(images)) == [name.encode() for name in expected]


def test_what_vanished_is_missing_and_what_was_overwritten_has_changed(other_store: Store) -> None:
    for name in ("a", "b", "c"):
        other_store.put(name, b"before")
    images = sorted(list_place(other_store.uri))
    other_store.delete("a")
    other_store.put("b", b"after!")
    with ImageReader() as reader:
        gone, changed, kept = reader.read(images)
    assert isinstance(gone, ImageError)
    assert isinstance(changed, ImageError)
    assert (gone.code, changed.code, kept) == (FailureCode.MISSING, FailureCode.CHANGED, b"before")


def test_a_bucket_that_does_not_exist_is_said_so(other_store: Store) -> None:
    scheme = other_store.uri.partition("://")[0]
    with pytest.raises(UserError, match="cannot list the bucket"):
        list(list_place(f"{scheme}://no-such-bucket/in"))


def test_the_beginning_of_an_object_is_read_alone(other_store: Store) -> None:
    other_store.put("a", b"0123456789")
    other_store.put("empty", b"")
    full, empty = sorted(list_place(other_store.uri))
    with ImageReader() as reader:
        assert [reader.read_head(full, size) for size in (4, 10, 99)] == [
            b"0123",
            b"0123456789",
            b"0123456789",
        ]
        assert reader.read_head(empty, 4) == b""


def test_a_file_of_any_size_is_opened(other_store: Store) -> None:
    other_store.put("a b", b"0123")
    with open_place(f"{other_store.uri}/a b") as file:
        assert file.read() == b"0123"
    with pytest.raises(UserError, match=r"cannot read the file: '.*/none'"):
        open_place(f"{other_store.uri}/none")


def test_write_once_keeps_what_is_there(folder: OutputFolder, other_store: Store) -> None:
    folder.write_once("new/x", b"first")
    folder.write_once("new/x", b"second")
    assert folder.read("new/x") == b"first"
    assert other_store.names() == ["a/run/new/x"]
    assert (folder.names("new"), folder.folders(), folder.exists("new/x")) == ({"x"}, {"new"}, True)


def test_replace_puts_the_new_in_place(folder: OutputFolder) -> None:
    for content in (b"first", b"second"):
        folder.replace("x", content)
        assert folder.read("x") == content


def test_of_many_writers_one_wins(folder: OutputFolder) -> None:
    contents = [bytes([number]) * 1000 for number in range(6)]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda content: folder.write_once("x", content), contents))
        kept = folder.read("x")
        list(pool.map(lambda content: folder.write_once("x", content), contents))
    assert kept in contents
    assert folder.read("x") == kept


def test_what_is_not_there_is_said_so_and_may_be_deleted(folder: OutputFolder) -> None:
    assert not folder.exists("x")
    assert (folder.names("statistics"), folder.folders(), list(folder.walk())) == (set(), set(), [])
    for look in (folder.read, folder.written):
        with pytest.raises(FileNotFoundError):
            look("x")
    folder.write_once("y", b"1")
    for _ in range(2):
        folder.delete("y")
    assert not folder.exists("y")


def test_the_files_of_a_folder_are_its_own(folder: OutputFolder, other_store: Store) -> None:
    for name in ("x", "d/y", "d/e/z é"):
        folder.write_once(name, b"1")
    other_store.put("a/run-2/x", b"1")
    assert sorted(folder.walk()) == ["d/e/z é", "d/y", "x"]
    assert sorted(folder.walk("d")) == ["d/e/z é", "d/y"]
    assert folder.folders() == {"d"}
    age = datetime.datetime.now(datetime.UTC) - folder.written("x")
    assert abs(age) < datetime.timedelta(hours=1)


def test_a_folder_that_holds_something_is_refused(folder: OutputFolder, other_store: Store) -> None:
    folder.check("manifest.json")
    other_store.put("a/run-of-another/x", b"1")
    folder.check("manifest.json")
    other_store.put("a/run/x", b"1")
    with pytest.raises(UserError, match="the output folder is not empty"):
        folder.check("manifest.json")
    other_store.put("a/run/manifest.json", b"1")
    with pytest.raises(UserError, match="already holds a finished run"):
        folder.check("manifest.json")


@pytest.mark.parametrize("name", ["a//b", "a/../b", "a//b/*"])
def test_a_name_that_no_store_takes_is_one_line(other_store: Store, name: str) -> None:
    with pytest.raises(UserError, match=r"cannot list the bucket: '.*'. Check the name: .*a/"):
        list(list_place(f"{other_store.uri}/{name}"))


def test_a_name_that_no_store_takes_is_asked_for_once(other_store: Store) -> None:
    with ImageReader() as reader:
        (outcome,) = reader.read([ListedImage(f"{other_store.uri}/a//b", 0, -1)])
    assert isinstance(outcome, ImageError)
    assert outcome.code == FailureCode.UNREADABLE
    assert "tries" not in outcome.detail


def test_an_output_that_cannot_be_written_is_one_line(other_store: Store) -> None:
    missing = open_folder(f"{other_store.uri[:2]}://no-such-bucket-anywhere/out")
    for write in (missing.write_once, missing.replace):
        with pytest.raises(StorageError, match=r"cannot read or write the output.*Check the bucket's name"):
            write("x", b"1")
    with pytest.raises(UserError, match="Check the bucket's name"), missing.hold():
        pass
    with pytest.raises(UserError, match="Check the bucket's name"):
        missing.check("manifest.json")


def assert_released(store: Store) -> None:
    with open_place(f"{store.uri}/a/run/{LOCK}") as file:
        assert file.read() == RELEASED
    assert store.names() == [f"a/run/{LOCK}"]


def held_elsewhere(folder: OutputFolder, write: int = 0) -> None:
    folder.replace(LOCK, json.dumps({"host": "elsewhere", "process": 1, "write": write}).encode())


def test_of_two_launchers_the_second_is_refused(folder: OutputFolder, other_store: Store) -> None:
    with folder.hold() as hold:
        with pytest.raises(UserError, match="another launcher is writing"), folder.hold():
            pass
        hold.confirm()
        folder.check("manifest.json")
    assert_released(other_store)


def test_a_holder_that_died_runs_out(folder: OutputFolder, other_store: Store) -> None:
    held_elsewhere(folder)
    started = time.monotonic()
    with folder.hold() as hold:
        assert time.monotonic() - started >= lease.LEASE_SECONDS
        hold.confirm()
    assert_released(other_store)


def confirm_until_lost(hold: lease.Lease) -> None:
    for _ in range(200):
        time.sleep(0.02)
        hold.confirm()


def test_who_slept_through_its_lease_learns_it_and_leaves_the_other_s(
    folder: OutputFolder, other_store: Store
) -> None:
    with folder.hold() as hold:
        held_elsewhere(folder)
        with pytest.raises(StorageError, match="Another launcher took it over"):
            confirm_until_lost(hold)
    assert other_store.names() == [f"a/run/{LOCK}"]


def lose_answers(monkeypatch: pytest.MonkeyPatch, *, which: set[int]) -> list[int]:
    """Let some of the uploads arrive and their answers be lost; return the uploads' numbers."""
    real = obstore.put
    uploads: list[int] = []

    def put(*given: object, **more: object) -> object:
        uploads.append(len(uploads))
        number = uploads[-1]
        found = real(*given, **more)
        if number in which:
            raise refused.GenericError("no answer")
        return found

    monkeypatch.setattr(obstore_bucket.obstore, "put", put)
    return uploads


def test_a_write_whose_answer_was_lost_is_a_write(
    folder: OutputFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = lose_answers(monkeypatch, which={0, 1})
    folder.write_once("x", b"first")
    assert (folder.read("x"), len(uploads)) == (b"first", 2)


def test_a_lease_whose_answers_are_lost_is_held(
    folder: OutputFolder, other_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1000.0)
    uploads = lose_answers(monkeypatch, which={0, 3})
    with folder.hold() as hold:
        while len(uploads) < 6:
            hold.confirm()
            time.sleep(0.02)
        hold.confirm()
    assert_released(other_store)


def test_a_store_that_stays_away_is_one_line(folder: OutputFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def put(*_: object, **__: object) -> None:
        raise refused.GenericError("HTTP status server error (503 Service Unavailable)")

    monkeypatch.setattr(obstore_bucket.obstore, "put", put)
    impatient = open_folder(folder.place, retry_seconds=0.2)
    with pytest.raises(StorageError, match=r"Check the connection: HTTP status server error \(503.* tries\)"):
        impatient.write_once("x", b"1")


def test_junk_is_ignored_and_files_are_excluded(other_store: Store) -> None:
    for name in ("1.png", ".DS_Store", "a/2.png", "a/desktop.ini", "b/3.png"):
        other_store.put(f"in/{name}", b"x")
    survey = Survey(Selection(exclude=("b/**",)))
    found = [image.uri.rpartition("/in/")[2] for image in list_place(f"{other_store.uri}/in", survey)]
    assert (found, survey.ignored) == (["1.png", "a/2.png"], 3)
    with pytest.raises(NothingFoundError):
        list(list_place(f"{other_store.uri}/none"))


@pytest.mark.parametrize("year", [1, 1969, 1970, 2300, 9999])
def test_an_object_of_any_time_has_a_generation_that_fits_its_column(year: int) -> None:
    meta = {"path": "a", "size": 1, "e_tag": "x", "version": None}
    changed = datetime.datetime(year, 6, 1, tzinfo=datetime.UTC)
    first, second = (
        listed_object("s3", "b", meta | {"last_modified": changed + datetime.timedelta(seconds=seconds)})
        for seconds in (0, 1)
    )
    assert 0 <= first.generation < 2**63
    assert first.generation != second.generation


def test_a_large_file_is_sent_whole_when_it_is_complete(folder: OutputFolder) -> None:
    data = bytes(range(256)) * 2**16
    with folder.create("rows.parquet") as file:
        file.write(data)
        assert not folder.exists("rows.parquet")
    assert folder.read("rows.parquet") == data
    with pytest.raises(FileExistsError), folder.create("rows.parquet"):
        pass
    with folder.create("rows.parquet", replace=True) as file:
        file.write(b"new")
    assert folder.read("rows.parquet") == b"new"
