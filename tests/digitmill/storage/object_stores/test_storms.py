"""What a store does in bad minutes, and what readers and writers make of it."""

import asyncio
import datetime
import re
import threading
from collections.abc import Callable, Iterator

import obstore
import pytest
from obstore import exceptions as refused

from benchmarks.stand_in_store import STALL, VARIABLE, Faults, Store, listen
from digitmill.storage import ImageReader, ListedImage, OutputFolder, list_place, open_folder
from digitmill.storage.object_stores import google, objects, read_bucket, retries, stores
from digitmill.storage.object_stores.bucket_folder import open_bucket
from digitmill.storage.read_limits import ReadLimits
from schemas.errors import StorageError, UserError
from schemas.failure import FailureCode, ImageError

FOR_GOOD = 1e9


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store with 200 objects in bucket `in` and an empty bucket `out`; waits are short."""
    monkeypatch.setattr(retries, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(retries, "LONGEST_WAIT_SECONDS", 0.05)
    store = Store()
    store.buckets["out"] = {}
    for number in range(200):
        store.put("in", f"{number:03d}", f"content {number}".encode())
    loop = asyncio.new_event_loop()
    server, address = loop.run_until_complete(listen(store))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    monkeypatch.setenv(VARIABLE, address)
    caches = (google.client, google._answered, open_bucket)
    for cached in caches:
        cached.cache_clear()
    yield store
    for cached in caches:
        cached.cache_clear()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    server.close()
    loop.close()


def images() -> list[ListedImage]:
    return list(list_place("gs://in"))


def read(listed: list[ListedImage], *, seconds: float = 10.0) -> list[bytes | FailureCode]:
    with ImageReader(ReadLimits(retry_seconds=seconds)) as reader:
        return [found.code if isinstance(found, ImageError) else found for found in reader.read(listed)]


WHOLE = [f"content {number}".encode() for number in range(200)]


@pytest.mark.parametrize("status", [401, 408, 429, 500, 503])
@pytest.mark.parametrize("after", [0, 50])
def test_a_storm_loses_nothing(store: Store, status: int, after: int) -> None:
    listed = images()
    store.begin(Faults(status, seconds=0.3, after=after))
    assert read(listed) == WHOLE
    assert store.refused


def test_rights_that_lapse_for_a_moment_lose_nothing(store: Store) -> None:
    listed = images()
    store.begin(Faults(403, seconds=0.3, after=50))
    assert read(listed) == WHOLE


@pytest.mark.parametrize("status", [401, 403, 503])
def test_a_storm_that_outlasts_the_deadline_stops_the_reading(store: Store, status: int) -> None:
    listed = images()
    store.begin(Faults(status, seconds=FOR_GOOD, after=50))
    with pytest.raises(StorageError, match="cannot reach a bucket of the input: 'gs://in/'"):
        read(listed, seconds=0.2)


def refuse(store: Store, status: int, reads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the store refuse so many reads from now on, and none after."""
    store.begin(Faults())
    monkeypatch.setattr(store, "_lasting", lambda: status if store.refused < reads else 0)


def test_no_object_is_blamed_for_rights_that_come_back_after_its_last_try(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, *_ = images()
    with ImageReader() as reader:
        assert list(reader.read([first])) == [WHOLE[0]]
        refuse(store, 403, 2, monkeypatch)
        assert list(reader.read([second])) == [WHOLE[1]]


def test_no_object_is_blamed_for_a_storm_that_ends_after_its_last_try(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = images()
    refuse(store, 503, 1, monkeypatch)
    assert read(listed[:1], seconds=0.0) == WHOLE[:1]


def test_rights_that_come_late_lose_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = images()
    refuse(store, 403, 7, monkeypatch)
    assert read(listed) == WHOLE


def test_an_object_of_a_busy_store_has_the_whole_deadline(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_ALONE_SECONDS", 0.05)
    monkeypatch.setattr(objects, "_MANY_ALONE", 0)
    listed = images()
    store.begin(Faults(429, seconds=0.5, prefix="000"))
    assert read(listed) == WHOLE


def test_names_that_may_not_be_seen_are_judged_by_all_that_are_looked_up(store: Store) -> None:
    uris = [image.uri for image in images()]
    store.begin(Faults(403, seconds=FOR_GOOD, prefix="00", everything=True))
    with ImageReader(ReadLimits(connections=1)) as reader:
        sizes = [image.size for image in reader.find(uris)]
    assert sizes == [-1] * 10 + [len(content) for content in WHOLE[10:]]


def test_an_object_of_unknown_size_is_not_read_whole_to_see_if_it_can_be(store: Store) -> None:
    first, second, *_ = images()
    with ImageReader() as reader:
        assert next(reader.find([first.uri])).size == first.size
        store.begin(Faults(403, seconds=FOR_GOOD, prefix="001"))
        (error,) = reader.read([second])
    assert isinstance(error, ImageError)
    assert store.reads == store.refused == 2


def test_a_long_storm_is_reported_once_a_minute(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    listed = images()
    monkeypatch.setattr(read_bucket, "REPORT_SECONDS", 0.0)
    refuse(store, 503, 50, monkeypatch)
    assert read(listed) == WHOLE
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"reads from gs://in/ fail \(503\): retrying until \d\d:\d\d:\d\d", line)


def test_a_short_storm_is_not_reported(store: Store, capsys: pytest.CaptureFixture) -> None:
    listed = images()
    store.begin(Faults(503, seconds=0.3))
    assert read(listed) == WHOLE
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("status", [302, 400, 403])
def test_a_bucket_that_refuses_all_is_not_asked_for_each_object(store: Store, status: int) -> None:
    listed = images()
    store.begin(Faults(status, seconds=FOR_GOOD))
    with pytest.raises(StorageError, match=r"refuses every read: 'gs://in/'. Check the rights"):
        read(listed)
    assert store.reads < 60


def test_single_objects_may_be_refused(store: Store) -> None:
    listed = images()
    store.begin(Faults(403, seconds=FOR_GOOD, prefix="11"))
    assert [number for number, found in enumerate(read(listed)) if found == FailureCode.DENIED] == [
        *range(110, 120)
    ]
    # Each of them is tried again once, and one that can be read is examined, once a second at most.
    assert store.reads <= 200 + 10 + 10


def test_a_refused_half_of_a_work_item_is_no_outage(store: Store) -> None:
    listed = images()
    store.begin(Faults(403, seconds=FOR_GOOD, prefix="0"))
    assert read(listed) == [FailureCode.DENIED] * 100 + WHOLE[100:]


@pytest.mark.parametrize("status", [302, 500, STALL])
def test_an_object_that_never_comes_fails_alone(
    store: Store, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "_SILENCE", datetime.timedelta(seconds=0.2))
    listed = images()
    store.begin(Faults(status, seconds=FOR_GOOD, prefix="000"))
    assert read(listed, seconds=0.5) == [FailureCode.UNREADABLE, *WHOLE[1:]]


def test_a_few_objects_of_a_bucket_that_refuses_all_fail_alone(store: Store) -> None:
    for number in range(3):
        store.put("denied", f"x{number}", b"x")
    listed = [*list_place("gs://denied"), *images()]
    store.begin(Faults(403, seconds=FOR_GOOD, prefix="x"))
    assert read(listed) == [FailureCode.DENIED] * 3 + WHOLE


def test_the_failure_of_a_redirected_object_says_so(store: Store) -> None:
    listed = images()
    store.begin(Faults(302, seconds=FOR_GOOD, prefix="000"))
    with ImageReader() as reader:
        (error,) = reader.read(listed[:1])
    assert isinstance(error, ImageError)
    assert error.detail == "the store redirects to no usable address"


@pytest.mark.parametrize("end", [ImageReader.interrupt, ImageReader.close])
def test_nobody_waits_for_a_storm_after_an_interruption(
    store: Store, end: Callable[[ImageReader], None]
) -> None:
    listed = images()
    store.begin(Faults(503, seconds=FOR_GOOD))
    reader, ends = ImageReader(), []

    def wait() -> None:
        try:
            list(reader.read(listed))
        except StorageError as error:
            ends.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while not store.refused:
        pass
    end(reader)
    thread.join(20)
    assert len(ends) == 1


@pytest.mark.parametrize("status", [401, 429, 503])
def test_listings_and_writes_ride_a_storm_out(store: Store, status: int) -> None:
    folder = open_folder("gs://out/run")
    for number, use in enumerate(
        [
            lambda: folder.write_once("a/x", b"1"),
            lambda: folder.replace("a/x", b"2"),
            lambda: folder.names("a"),
            lambda: folder.exists("a/x"),
            lambda: folder.read("a/x"),
            folder.folders,
            lambda: list(list_place("gs://in")),
            lambda: folder.delete("a/x"),
        ]
    ):
        store.begin(Faults(status, seconds=0.05, everything=True))
        use()
        assert store.requests > 1, number


USES: list[Callable[[OutputFolder], object]] = [
    lambda folder: folder.write_once("x", b"1"),
    lambda folder: folder.names("x"),
    lambda folder: folder.folders(),
]


@pytest.mark.parametrize("use", USES)
def test_a_request_that_outlasts_the_deadline_is_one_line(
    store: Store, use: Callable[[OutputFolder], object]
) -> None:
    folder = open_folder("gs://out/run", retry_seconds=0.1)
    store.begin(Faults(503, seconds=FOR_GOOD, everything=True))
    with pytest.raises(
        StorageError, match=r"cannot read or write the output: 'gs://out/run'. Check the conn"
    ):
        use(folder)


@pytest.mark.parametrize("use", USES)
def test_a_request_does_not_wait_after_an_interruption(
    store: Store, use: Callable[[OutputFolder], object]
) -> None:
    folder, ends = open_folder("gs://out/run"), []
    store.begin(Faults(503, seconds=FOR_GOOD, everything=True))

    def write() -> None:
        try:
            use(folder)
        except StorageError as error:
            ends.append(error.error)

    thread = threading.Thread(target=write)
    thread.start()
    while not store.requests:
        pass
    folder.interrupt()
    thread.join(20)
    assert ends == ["stopped while waiting for a store"]


def test_a_listing_that_is_refused_is_not_retried(store: Store) -> None:
    store.begin(Faults(403, seconds=FOR_GOOD, everything=True))
    with pytest.raises(UserError, match="cannot list the bucket"):
        images()
    assert store.requests <= 2  # the client looks at the bucket by itself


class Recorded(threading.Event):
    """Notes waits instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return False


def failing(times: int, wait: float = 0.0) -> Callable[[], int]:
    """Return what fails so many times and then returns how often it was called."""
    calls = []

    def request() -> int:
        calls.append(1)
        if len(calls) <= times:
            raise retries.TransientError("busy", wait=wait)
        return len(calls)

    return request


def test_waits_are_drawn_at_random_and_grow() -> None:
    firsts, lasts = [], []
    for _ in range(200):
        stop = Recorded()
        assert retries.retry(failing(12), stop=stop) == 13
        firsts.append(stop.waits[0])
        lasts.append(stop.waits[-1])
    assert max(firsts) <= retries.FIRST_WAIT_SECONDS
    assert retries.LONGEST_WAIT_SECONDS / 2 < max(lasts) <= retries.LONGEST_WAIT_SECONDS
    assert len(set(lasts)) > 100


@pytest.mark.parametrize(("asked", "waited"), [(3.0, 3.0), (1e6, retries.LONGEST_ASKED_SECONDS)])
def test_a_wait_that_the_store_asks_for_is_kept_within_reason(asked: float, waited: float) -> None:
    stop = Recorded()
    retries.retry(failing(1, wait=asked), stop=stop)
    assert stop.waits == [waited]


def test_a_login_that_has_lapsed_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT_SECONDS", 0.001)
    memory = obstore.store.MemoryStore()
    obstore.put(memory, "a", b"content")
    made = []

    def make(scheme: str, bucket: str) -> object:
        made.append(len(made))
        return made[-1]

    def get(store: int, name: str, options: object = None) -> object:
        if store < 2:
            raise refused.UnauthenticatedError("External GCP credential provider: RefreshError: no token")
        return obstore.get(memory, name)

    monkeypatch.setattr(read_bucket, "make_store", make)
    monkeypatch.setattr(read_bucket, "obstore", type("Module", (), {"get": staticmethod(get)}))
    with ImageReader() as reader:
        assert list(reader.read([ListedImage("s3://bucket/a", 0, -1)])) == [b"content"]
    assert made == [0, 1, 2]
