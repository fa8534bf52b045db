import base64
import datetime
import gzip
import http.server
import threading
import urllib.parse
from collections.abc import Iterator

import google_crc32c
import pytest
from google.cloud import storage

from digitmill.storage import ImageReader, open_folder
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.object_stores import google, retries
from digitmill.storage.object_stores.bucket_folder import BucketFolder
from digitmill.storage.object_stores.google import list_objects
from digitmill.storage.object_stores.uris import is_folder_marker, split_place
from schemas.errors import StorageError, UserError
from tests.gcs_emulator import Bucket, Proxy


@pytest.fixture
def folder(bucket: Bucket) -> BucketFolder:
    return open_folder(f"{bucket.uri}/a/run/")


def test_a_listing_has_name_size_generation_and_checksum(bucket: Bucket) -> None:
    bucket.put("b", b"hello")
    (image,) = list_objects(bucket.name)
    assert image.uri == f"{bucket.uri}/b"
    assert image.size == 5
    assert image.generation == bucket.bucket.get_blob("b").generation
    assert image.checksum == bucket.bucket.get_blob("b").crc32c


def test_a_listing_is_in_the_order_of_bytes_and_within_its_bounds(bucket: Bucket) -> None:
    names = ["B", "a", "b", "b/c", "é", "日", "\U0001f600"]
    for name in names:
        bucket.put(name, b"x")
    found = [image.uri.removeprefix(f"{bucket.uri}/") for image in list_objects(bucket.name)]
    assert found == sorted(names, key=str.encode) == sorted(names)
    inner = [image.uri.rpartition("/")[2] for image in list_objects(bucket.name, start="a", end="é")]
    assert inner == ["a", "b", "c"]
    assert len(list(list_objects(bucket.name, most=2))) == 2


def test_a_listing_asks_for_no_more_than_it_needs(bucket: Bucket, proxy: Proxy) -> None:
    list(list_objects(bucket.name))
    (target,) = (target for target in proxy.targets if f"/b/{bucket.name}/o?" in target)
    (fields,) = urllib.parse.parse_qs(urllib.parse.urlsplit(target).query)["fields"]
    assert fields == "items(name,size,generation,crc32c),nextPageToken"


def test_folder_markers_are_told_from_images() -> None:
    assert is_folder_marker(ListedImage("gs://b/folder/", 1, 0))
    assert not is_folder_marker(ListedImage("gs://b/folder/", 1, 5))
    assert not is_folder_marker(ListedImage("gs://b/empty.png", 1, 0))


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("gs://b", ("gs", "b", "")),
        ("s3://b/", ("s3", "b", "")),
        ("gs://b/a//b?c#d", ("gs", "b", "a//b?c#d")),
    ],
)
def test_a_place_is_scheme_bucket_and_name(uri: str, expected: tuple[str, str, str]) -> None:
    assert split_place(uri) == expected


def test_a_uri_without_a_bucket_is_refused() -> None:
    with pytest.raises(UserError, match="the address names no bucket"):
        split_place("gs:///x")


def test_a_bucket_that_does_not_exist_is_said_so(bucket: Bucket) -> None:
    with pytest.raises(UserError, match="Check the bucket's name") as caught:
        list(list_objects("no-such-bucket-anywhere"))
    assert caught.value.value == "gs://no-such-bucket-anywhere/"


def test_write_once_keeps_what_is_there(folder: BucketFolder, bucket: Bucket) -> None:
    folder.write_once("new/x", b"first")
    folder.write_once("new/x", b"second")
    assert folder.read("new/x") == bucket.read("a/run/new/x") == b"first"
    assert folder.names("new") == {"x"}
    assert folder.exists("new/x")


def test_replace_puts_the_new_in_place(folder: BucketFolder) -> None:
    for content in (b"first", b"second"):
        folder.replace("x", content)
        assert folder.read("x") == content


def test_of_many_writers_one_wins(folder: BucketFolder) -> None:
    contents = [bytes([number]) * 1000 for number in range(6)]
    writers = [threading.Thread(target=folder.write_once, args=("x", content)) for content in contents]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert folder.read("x") in contents


def test_what_is_not_there_is_said_so(folder: BucketFolder) -> None:
    assert not folder.exists("x")
    assert folder.names("statistics") == set()
    with pytest.raises(FileNotFoundError):
        folder.read("x")


def test_it_knows_when_an_object_was_written(folder: BucketFolder) -> None:
    folder.write_once("x", b"1")
    age = datetime.datetime.now(datetime.UTC) - folder.written("x")
    assert abs(age) < datetime.timedelta(hours=1)
    with pytest.raises(FileNotFoundError):
        folder.written("y")


def test_a_folder_that_holds_something_is_refused(folder: BucketFolder, bucket: Bucket) -> None:
    folder.check("manifest.json")
    bucket.put("a/run/", b"")
    folder.check("manifest.json")
    bucket.put("a/run-of-another/x", b"1")
    folder.check("manifest.json")
    bucket.put("a/run/x", b"1")
    with pytest.raises(UserError, match="the output folder is not empty"):
        folder.check("manifest.json")
    bucket.put("a/run/manifest.json", b"1")
    with pytest.raises(UserError, match="the output folder already holds a finished run"):
        folder.check("manifest.json")


def test_an_output_that_cannot_be_written_is_one_line(folder: BucketFolder) -> None:
    missing = open_folder("gs://no-such-bucket-anywhere/out")
    for write in (missing.write_once, missing.replace):
        with pytest.raises(StorageError, match="cannot read or write the output"):
            write("x", b"1")
    with pytest.raises(UserError, match="Check the bucket's name"), missing.hold():
        pass
    with pytest.raises(UserError, match="cannot read or write the output"):
        missing.check("manifest.json")


@pytest.mark.parametrize("place", ["ftp://x", "s3://", "gs:///x", "s3://b/a//c", "az://b/a/../c"])
def test_what_cannot_be_written_to_is_refused(place: str) -> None:
    with pytest.raises(
        UserError, match=r"neither a path|the address names no bucket|cannot write to a folder"
    ):
        open_folder(place)


def test_places_are_written_as_people_write_them(bucket: Bucket) -> None:
    assert open_folder(f"{bucket.uri}/a/").at("b/c") == f"{bucket.uri}/a/b/c"
    assert open_folder(bucket.uri).at("b") == f"{bucket.uri}/b"


class Store(http.server.ThreadingHTTPServer):
    """Gives fixed answers, one after the other, as a store would: for what the emulator cannot do.

    Attributes:
        answers: bodies to come; the last one is given for good.
        headers: of every answer.
        queries: what was asked for behind the path.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.answers = [b"{}"]
        self.headers = {"Content-Type": "application/json"}
        self.queries: list[dict[str, list[str]]] = []


class _Answer(http.server.BaseHTTPRequestHandler):
    server: Store

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        asked = urllib.parse.urlsplit(self.path)
        if "/o" not in asked.path:  # the client's own look at the bucket
            self.send_error(404)
            return
        self.server.queries.append(urllib.parse.parse_qs(asked.query))
        body = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        self.send_response(200)
        for header in {**self.server.headers, "Content-Length": str(len(body))}.items():
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with Store() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv(google.EMULATOR, f"http://127.0.0.1:{server.server_address[1]}")
        google.client.cache_clear()
        yield server
        google.client.cache_clear()
        server.shutdown()


def crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4)).decode()


def test_what_is_stored_gzipped_is_read_as_it_is_stored(store: Store) -> None:
    stored = gzip.compress(b"content")
    store.answers = [stored]
    store.headers = {"Content-Encoding": "gzip", "x-goog-hash": f"crc32c={crc32c(stored)}"}
    assert google.download("bucket", "./a", generation=1) == stored
    assert BucketFolder("gs", "bucket", "run").read("a") == stored


def test_bytes_that_arrive_damaged_are_asked_for_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT_SECONDS", 0.001)
    store.answers = [b"cOntent", b"content"]
    store.headers = {"x-goog-hash": f"crc32c={crc32c(b'content')}"}
    with ImageReader() as reader:
        image = ListedImage("gs://bucket/./a", 1, 7, checksum=crc32c(b"content"))
        assert list(reader.read([image])) == [b"content"]


def test_a_folders_folders_are_what_stands_before_the_next_slash(store: Store) -> None:
    store.answers = [b'{"prefixes": ["a/run/x/"], "nextPageToken": "more"}', b'{"prefixes": ["a/run/y/"]}']
    assert BucketFolder("gs", "bucket", "a/run").folders() == {"x", "y"}
    first, second = store.queries
    assert (first["prefix"], first["delimiter"], second["pageToken"]) == (["a/run/"], ["/"], ["more"])
    # The store leaves out what is not asked for, and refuses to be asked for fields that it does not have.
    assert first["fields"] == ["prefixes,nextPageToken"]


def test_an_object_without_a_checksum_is_listed_without_one(store: Store) -> None:
    store.answers = [b'{"items": [{"name": "a.png", "generation": "5", "size": "7"}]}']
    assert list(google.list_objects("bucket")) == [ListedImage("gs://bucket/a.png", 5, 7, checksum="")]


def test_a_folder_that_may_be_full_is_not_listed_to_its_end(store: Store) -> None:
    BucketFolder("gs", "bucket", "run").check("manifest.json")
    (query,) = store.queries
    assert query["maxResults"] == ["1000"]


def test_every_upload_carries_its_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def upload(blob: storage.Blob, data: bytes, **options: object) -> None:
        asked.append((blob.name, data, options["checksum"]))

    monkeypatch.setenv(google.EMULATOR, "http://127.0.0.1:1")
    google.client.cache_clear()
    monkeypatch.setattr(storage.Blob, "upload_from_string", upload)
    folder = BucketFolder("gs", "bucket", "run")
    folder.write_once("a", b"1")
    folder.replace("b", b"2")
    google.client.cache_clear()
    assert asked == [("run/a", b"1", "crc32c"), ("run/b", b"2", "crc32c")]
