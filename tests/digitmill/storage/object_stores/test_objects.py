import threading

import obstore
import pytest
from obstore.store import MemoryStore

from digitmill.storage import ImageReader, list_place
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.object_stores import google, objects, read_bucket, retries
from digitmill.storage.object_stores.uris import split
from digitmill.storage.read_limits import CONNECTIONS, ReadLimits
from schemas.failure import FailureCode, ImageError
from tests.gcs_emulator import Bucket, Proxy


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(retries, "LONGEST_WAIT_SECONDS", 0.01)


def outcomes(images: list[ListedImage], **limits: object) -> list[bytes | FailureCode]:
    with ImageReader(ReadLimits(**limits)) as reader:
        return [
            content.code if isinstance(content, ImageError) else content for content in reader.read(images)
        ]


HOSTILE = [
    "a.png", "a b.png", "a/b.png", "a//b.png", "x[1].png", "q?.png", "s*.png", "n\nl.png", "=1+1", "c,d.png",
    '"q".png', "%2F.png", "%", "é.png", "e\u0301.png", "./d", "../d", "a/./b", "h#x", "x ", "ta\tb", "a\\b",
    "~t", "日本/図.png",
]  # fmt: skip


def test_every_name_is_listed_and_read_as_it_is(bucket: Bucket) -> None:
    for name in HOSTILE:
        bucket.put(name, f"content of {name}".encode())
    images = list(list_place(bucket.uri))
    assert [image.uri for image in images] == sorted(f"{bucket.uri}/{name}" for name in HOSTILE)
    assert outcomes(images) == [f"content of {split(image.uri)[2]}".encode() for image in images]


def test_one_request_an_image_over_few_connections(bucket: Bucket, proxy: Proxy) -> None:
    for number in range(600):
        bucket.put(f"{number:04d}", bytes([number % 256]) * 50)
    images = list(list_place(bucket.uri))
    opened = []
    # On a machine that is busy with other things a connection may be late in getting back to its pool,
    # and the pool opens another: the least of three rounds shows what reading needs by itself.
    for number in range(1, 4):
        before = proxy.connections
        assert len(outcomes(images)) == 600
        assert proxy.reads() <= 1.01 * 600 * number
        opened.append(proxy.connections - before)
    assert min(opened) <= CONNECTIONS


# obstore reads tidy names, Google's client the others.
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        *(("a.png", fault) for fault in (408, 429, 500, 503, "reset", "truncated")),
        ("a//b.png", 503),
        ("a//b.png", "reset"),
        ("a//b.png", "truncated"),
    ],
)
def test_a_passing_fault_is_got_over(bucket: Bucket, proxy: Proxy, fault: object, name: str) -> None:
    bucket.put(name, b"content" * 100)
    images = list(list_place(bucket.uri))
    proxy.faults[name].extend([fault, fault])
    assert outcomes(images) == [b"content" * 100]
    assert proxy.reads(name) == 3


@pytest.mark.parametrize(
    ("name", "fault", "code"),
    [
        ("a.png", 403, FailureCode.DENIED),
        ("a.png", 400, FailureCode.UNREADABLE),
        ("a.png", 408, FailureCode.UNREADABLE),
        ("a.png", 503, FailureCode.UNREADABLE),
        ("a.png", "reset", FailureCode.UNREADABLE),
        ("a.png", "truncated", FailureCode.UNREADABLE),
        ("./a.png", 403, FailureCode.DENIED),
        ("./a.png", 503, FailureCode.UNREADABLE),
        ("./a.png", "truncated", FailureCode.UNREADABLE),
    ],
)
def test_a_lasting_fault_is_one_failure(
    bucket: Bucket, proxy: Proxy, fault: object, code: FailureCode, name: str
) -> None:
    for other in ("b", "c"):
        bucket.put(other, other.encode())
    bucket.put(name, b"content" * 100)
    proxy.lasting[name] = fault
    found = outcomes(list(list_place(bucket.uri)), retry_seconds=0.5)
    assert sorted(map(str, found)) == sorted(map(str, [code, b"b", b"c"]))
    # A refusal is final when others could be read since; one of the reads is to see whether any can.
    assert (proxy.reads(name) <= 3) == (fault in (400, 403))


def test_an_object_that_vanished_is_missing(bucket: Bucket) -> None:
    for name in ("a", "./b"):
        bucket.put(name, b"x")
    images = list(list_place(bucket.uri))
    bucket.delete("a")
    bucket.delete("./b")
    assert outcomes(images) == [FailureCode.MISSING] * 2


def test_an_object_that_vanishes_between_two_tries_is_missing(bucket: Bucket, proxy: Proxy) -> None:
    bucket.put("a", b"x")
    proxy.faults["a"].extend([503, lambda: bucket.delete("a")])
    assert outcomes(list(list_place(bucket.uri))) == [FailureCode.MISSING]


@pytest.mark.parametrize("name", ["a", "a//b"])
def test_an_object_that_was_overwritten_has_changed(bucket: Bucket, name: str) -> None:
    bucket.put(name, b"before")
    images = list(list_place(bucket.uri))
    bucket.put(name, b"after!")
    assert outcomes(images) == [FailureCode.CHANGED]


def test_wrong_bytes_are_never_handed_on(bucket: Bucket, proxy: Proxy) -> None:
    bucket.put("a", b"content")
    (image,) = list_place(bucket.uri)
    assert outcomes([image._replace(checksum="AAAAAA==")]) == [FailureCode.UNREADABLE]
    # The last two times to see whether the bucket can be read at all.
    assert retries.FEW_TRIES <= proxy.reads("a") <= retries.FEW_TRIES + 2


def test_an_object_over_the_cap_is_not_asked_for(bucket: Bucket, proxy: Proxy) -> None:
    bucket.put("a", b"x")
    (image,) = list_place(bucket.uri)
    assert outcomes([image._replace(size=2**40)]) == [FailureCode.TOO_LARGE]
    assert proxy.reads() == 0


def test_contents_come_in_order_though_they_arrive_out_of_it(bucket: Bucket, proxy: Proxy) -> None:
    for number in range(40):
        bucket.put(f"{number:02d}", f"{number}".encode())
    proxy.faults["00"].extend([503] * 3)
    found = outcomes(list(list_place(bucket.uri)), connections=8)
    assert found == [f"{number}".encode() for number in range(40)]


def test_files_and_objects_mix_in_one_item(bucket: Bucket, tmp_path: object) -> None:
    bucket.put("a", b"object")
    (tmp_path / "f").write_bytes(b"file")
    images = [*list_place(bucket.uri), *list_place(str(tmp_path)), *list_place(bucket.uri)]
    assert outcomes(images) == [b"object", b"file", b"object"]


def test_the_rate_of_requests_is_bounded(bucket: Bucket) -> None:
    for number in range(20):
        bucket.put(f"{number:02d}", b"x")
    with ImageReader(ReadLimits(connections=4, requests_per_second=100)) as reader:
        assert len(list(reader.read(list_place(bucket.uri)))) == 20
        throttle = reader._stores._throttle
        assert throttle._next - throttle._started >= 20 / 100


def test_an_unknown_generation_reads_what_is_there(bucket: Bucket) -> None:
    bucket.put("a", b"now")
    assert outcomes([ListedImage(f"{bucket.uri}/a", 0, -1)]) == [b"now"]
    assert outcomes([ListedImage(f"{bucket.uri}/gone", 0, -1)]) == [FailureCode.MISSING]


def test_readers_share_stores_between_threads(bucket: Bucket) -> None:
    bucket.put("a", b"x")
    images = list(list_place(bucket.uri)) * 50
    reader = ImageReader()
    found: list = []
    threads = [threading.Thread(target=lambda: found.extend(reader.read(images))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"x"] * 200


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """What every bucket holds, whichever scheme it is named by."""
    store = MemoryStore()
    monkeypatch.setattr(read_bucket, "make_store", lambda *_, **__: store)
    return store


def stat(uri: str) -> ListedImage:
    return objects.ObjectStores(ReadLimits()).stat(uri)


def test_an_object_as_large_as_the_cap_is_read(memory: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    obstore.put(memory, "a", b"content")
    monkeypatch.setattr(objects, "MAX_BYTES", len(b"content"))
    assert outcomes([stat("s3://bucket/a")]) == [b"content"]


@pytest.mark.parametrize("name", ["a.zip", "in//a.zip", "./a.zip"])
def test_an_archive_is_fetched_whole_whatever_its_name(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked = []

    def download(bucket: str, name: str, *, generation: int) -> bytes:
        asked.append((bucket, name, generation))
        return b"content"

    monkeypatch.setattr(google, "download", download)
    obstore.put(memory, "a.zip", b"content")
    with ImageReader() as reader, reader.fetch(ListedImage(f"gs://bucket/{name}", 5, 7)) as file:
        assert file.read() == b"content"
    # obstore takes tidy paths alone.
    assert asked == ([] if name == "a.zip" else [("bucket", name, 5)])
