"""Files on disk and in a real emulator of Google's storage."""

import os
import pathlib

import pytest

from schemas.errors import UserError
from schemas.failure import MAX_BYTES, FailureCode, ImageError
from tests.gcs_emulator import Bucket, Proxy
from trainer.files import bucket_files, files
from trainer.files.files import File


@pytest.fixture
def place(bucket: Bucket) -> str:
    for name in ("a/0/x.png", "a/0/y.txt", "a/1/.hidden", "a/1/z.png", "a/", "a/2/", "b/0/x.png", "ab"):
        bucket.put(name, name.encode())
    return bucket.uri


def code_of(file: File) -> str:
    found = files.read_image(file)
    assert isinstance(found, ImageError)
    return found.code


def test_a_folder_is_listed_at_any_depth_without_what_is_hidden(place: str, bucket: Bucket) -> None:
    listed = files.list_folder(f"{place}/a")
    assert [file.place for file in listed] == [
        f"{place}/a/0/x.png",
        f"{place}/a/0/y.txt",
        f"{place}/a/1/z.png",
    ]
    assert files.list_folder(f"{place}/a/") == listed
    assert [file.size for file in listed] == [9, 9, 9]
    assert listed[0].version == bucket.bucket.get_blob("a/0/x.png").generation
    assert len(files.list_folder(place)) == 5


def test_disk_and_bucket_list_alike(place: str, bucket: Bucket, tmp_path: pathlib.Path) -> None:
    for name in bucket.names():
        if not name.endswith("/"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(name.encode())
    for folder in ("", "/a", "/a/", "/b"):
        disk = [file.place.removeprefix(str(tmp_path)) for file in files.list_folder(f"{tmp_path}{folder}")]
        cloud = [file.place.removeprefix(place) for file in files.list_folder(f"{place}{folder}")]
        assert sorted(disk) == sorted(cloud)
    for pattern in (
        "/a/0/*",
        "/a/*/?.png",
        "/**/x.png",
        "/a/**",
        "/a/[01]/[!x]*",
        "/a*",
        "/a/0/x.png",
        "/n*",
    ):
        disk = [file.place.removeprefix(str(tmp_path)) for file in files.matching(f"{tmp_path}{pattern}")]
        cloud = [file.place.removeprefix(place) for file in files.matching(f"{place}{pattern}")]
        assert [name for name in cloud if "/." not in name] == disk


def test_a_name_with_brackets_is_taken_as_it_is(bucket: Bucket) -> None:
    for name in ("[0-1].x", "0.x"):
        bucket.put(name, b"x")
    found = {pattern: files.matching(f"{bucket.uri}/{pattern}") for pattern in ("[0-1].x", "[0-1].*")}
    assert [file.place for file in found["[0-1].x"]] == [f"{bucket.uri}/[0-1].x"]
    assert [file.place for file in found["[0-1].*"]] == [f"{bucket.uri}/0.x"]


@pytest.mark.parametrize("name", ["x.png", "a b/é, %41.png", "a//b", "a/./b", "line\nbreak", "#?.png"])
def test_objects_of_any_name_are_read(bucket: Bucket, name: str) -> None:
    bucket.put(name, b"content")
    (listed,) = files.list_folder(bucket.uri) if "/." not in name else files.stat([f"{bucket.uri}/{name}"])
    assert files.read_image(listed) == b"content"


def test_an_object_is_one_request(place: str, proxy: Proxy) -> None:
    (listed,) = files.matching(f"{place}/a/0/x.png")
    before = proxy.reads()
    assert files.read_image(listed) == b"a/0/x.png"
    assert proxy.reads() == before + 1


def test_what_was_listed_is_read_or_it_is_said(place: str, bucket: Bucket) -> None:
    first, second, third = files.list_folder(f"{place}/a")
    bucket.put("a/0/x.png", b"something else")
    bucket.delete("a/0/y.txt")
    assert code_of(first) == FailureCode.CHANGED
    assert code_of(second) == FailureCode.MISSING
    assert files.read_image(third) == b"a/1/z.png"


@pytest.mark.parametrize("fault", [503, 500, 429, "reset", "truncated"])
def test_a_passing_fault_is_tried_again(place: str, proxy: Proxy, fault: object) -> None:
    (listed,) = files.matching(f"{place}/a/0/x.png")
    proxy.faults["a/0/x.png"].extend([fault, fault])
    assert files.read_image(listed) == b"a/0/x.png"


def test_a_lasting_fault_costs_the_image(place: str, proxy: Proxy) -> None:
    (listed,) = files.matching(f"{place}/a/0/x.png")
    proxy.lasting["a/0/x.png"] = 403
    assert code_of(listed) == FailureCode.DENIED
    # Bytes that are not the listed ones, whenever they are fetched.
    proxy.lasting.clear()
    assert code_of(listed._replace(checksum="AAAAAA==")) == FailureCode.UNREADABLE
    assert proxy.reads("a/0/x.png") >= 4


def test_files_as_they_are_now(place: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "x").write_bytes(b"four")
    asked = [
        f"{place}/a/0/x.png",
        str(tmp_path / "x"),
        f"{place}/a/0/no.png",
        str(tmp_path / "no"),
        f"{place}/ab",
    ]
    found = files.stat(asked)
    assert [file.place for file in found] == asked
    assert [file.size for file in found] == [9, 4, -1, -1, 2]
    assert found[1].version == os.stat(tmp_path / "x").st_mtime_ns
    assert code_of(found[2]) == code_of(found[3]) == FailureCode.MISSING
    assert files.stat(["a\0b"])[0].size == -1


def test_a_large_object_is_opened_as_a_file(
    bucket: Bucket, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_files, "IN_MEMORY_BYTES", 1_000)
    content = os.urandom(3_000_000)
    bucket.put("large", content)
    proxy.faults["large"].append("truncated")
    with files.open_file(f"{bucket.uri}/large") as file:
        assert file.read(10) == content[:10]
        file.seek(2_000_000)
        assert file.read() == content[2_000_000:]
    assert files.read_whole(f"{bucket.uri}/large") == content


@pytest.mark.parametrize("name", ["no", "no/such"])
def test_what_cannot_be_opened_is_refused_in_one_line(
    bucket: Bucket, tmp_path: pathlib.Path, name: str
) -> None:
    for folder in (bucket.uri, str(tmp_path)):
        with pytest.raises(UserError, match=f"training data can be read: '{folder}/{name}'"):
            files.read_whole(f"{folder}/{name}")


def test_a_bucket_that_is_not_there_is_refused(through_proxy: Proxy) -> None:
    with pytest.raises(UserError, match=r"a bucket can be listed: 'gs://nothing-here/x/'. Check the bucket"):
        files.list_folder("gs://nothing-here/x")
    with pytest.raises(UserError, match="names a bucket"):
        files.list_folder("gs:///x")


def test_images_that_are_too_large_are_not_fetched(bucket: Bucket, proxy: Proxy) -> None:
    bucket.put("x", b"x")
    (listed,) = files.list_folder(bucket.uri)
    before = len(proxy.requests)
    assert code_of(listed._replace(size=MAX_BYTES + 1)) == FailureCode.TOO_LARGE
    assert len(proxy.requests) == before


def test_a_pipe_is_not_waited_for(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert code_of(*files.stat([str(tmp_path / "pipe")])) == FailureCode.UNREADABLE


@pytest.mark.parametrize(
    ("folder", "name", "expected"),
    [
        ("/a", "b/c", "/a/b/c"),
        ("/a", "/b", "/b"),
        ("gs://b/a", "c.png", "gs://b/a/c.png"),
        ("gs://b", "c.png", "gs://b/c.png"),
        ("/a", "gs://b/c", "gs://b/c"),
        ("gs://b/a/", "c", "gs://b/a/c"),
    ],
)
def test_names_count_from_their_folder(folder: str, name: str, expected: str) -> None:
    assert files.join(folder, name) == expected
