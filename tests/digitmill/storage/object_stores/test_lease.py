import json
import subprocess
import sys
import time

import pytest
from google.cloud import storage
from requests import exceptions as transport

from digitmill.storage.interface import LOCK
from digitmill.storage.object_stores import lease
from digitmill.storage.object_stores.bucket import RELEASED, StoreError
from digitmill.storage.object_stores.bucket_folder import BucketFolder
from digitmill.storage.object_stores.retries import stopped
from schemas.errors import StorageError, UserError
from tests.gcs_emulator import Bucket


@pytest.fixture
def folder(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> BucketFolder:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.6)
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.1)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.05)
    return BucketFolder("gs", bucket.name, "run")


def put(bucket: Bucket, **changes: object) -> None:
    bucket.put(f"run/{LOCK}", json.dumps(lease._this_process() | changes).encode())


def test_of_two_launchers_the_second_is_refused(folder: BucketFolder, bucket: Bucket) -> None:
    with folder.hold() as hold:
        with pytest.raises(UserError, match="another launcher is writing"), folder.hold():
            pass
        hold.confirm()
        folder.check("manifest.json")
    assert bucket.names() == []


def test_a_holder_elsewhere_that_died_runs_out(folder: BucketFolder, bucket: Bucket) -> None:
    put(bucket, host="elsewhere")
    started = time.monotonic()
    with folder.hold() as hold:
        assert time.monotonic() - started >= lease.LEASE_SECONDS
        hold.confirm()
    assert bucket.names() == []


def test_a_holder_here_that_died_is_not_waited_for(
    folder: BucketFolder, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1000.0)
    code = (
        "import json\nfrom digitmill.storage.object_stores import lease\n"
        "print(json.dumps(lease._this_process()))"
    )
    dead = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
    bucket.put(f"run/{LOCK}", dead)
    with folder.hold():
        pass


def test_another_process_under_the_same_number_is_not_the_holder(
    folder: BucketFolder, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1000.0)
    put(bucket, begun="1")
    with folder.hold():
        pass


def confirm_until_lost(hold: lease.Lease) -> None:
    for _ in range(200):
        time.sleep(0.02)
        hold.confirm()


def test_who_slept_through_its_lease_learns_that_it_lost_it(folder: BucketFolder, bucket: Bucket) -> None:
    with folder.hold() as hold:
        put(bucket, host="elsewhere")
        with pytest.raises(StorageError, match="Another launcher took it over"):
            confirm_until_lost(hold)
    assert bucket.names() == [f"run/{LOCK}"]


def lose_answers(monkeypatch: pytest.MonkeyPatch, *, which: set[int]) -> list[int]:
    """Let some of the uploads arrive and their answers be lost; return the uploads' numbers."""
    real = storage.Blob.upload_from_string
    uploads: list[int] = []

    def upload(blob: storage.Blob, *given: object, **more: object) -> None:
        uploads.append(len(uploads))
        number = uploads[-1]
        real(blob, *given, **more)
        if number in which:
            raise transport.ReadTimeout("no answer")

    monkeypatch.setattr(storage.Blob, "upload_from_string", upload)
    return uploads


def test_a_renewal_whose_answer_was_lost_is_a_renewal(
    folder: BucketFolder, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = lose_answers(monkeypatch, which={2})
    with folder.hold() as hold:
        while len(uploads) < 5:
            hold.confirm()
            time.sleep(0.02)
        hold.confirm()
    assert bucket.names() == []


def test_a_lease_that_was_taken_without_an_answer_is_not_watched(
    folder: BucketFolder, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1000.0)
    real = storage.Blob.upload_from_string
    tries = []

    def upload(blob: storage.Blob, *given: object, **more: object) -> None:
        tries.append(blob.name)
        if len(tries) == 1:
            real(blob, *given, **more)  # the first try's answer is lost: the second finds its own lease
        real(blob, *given, **more)

    monkeypatch.setattr(storage.Blob, "upload_from_string", upload)
    with folder.hold() as hold:
        hold.confirm()
    assert bucket.names() == []


def test_a_container_of_the_same_name_is_another_machine(folder: BucketFolder, bucket: Bucket) -> None:
    put(bucket, processes="pid:[1]", process=2**22 + 1)
    started = time.monotonic()
    with folder.hold():
        assert time.monotonic() - started >= lease.LEASE_SECONDS


def test_a_lease_given_back_while_it_is_watched_is_free(
    folder: BucketFolder, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, host="elsewhere")
    real = storage.Blob.reload
    looks = []

    def goes(blob: storage.Blob, **more: object) -> None:
        looks.append(blob.name)
        if len(looks) == 2:
            bucket.delete(f"run/{LOCK}")
        real(blob, **more)

    monkeypatch.setattr(storage.Blob, "reload", goes)
    with folder.hold() as hold:
        hold.confirm()
    assert len(looks) == 2


class MemoryBucket:
    """A bucket with one object, on a store without conditional deletes.

    Attributes:
        content: the object's; None while it is not there.
        patient: how each write that met its condition was to be retried.
        failing: numbers of these writes that fail, with `error`.
        looks: times the object was read.
    """

    def __init__(self, *, conditional: bool = True, content: bytes | None = None) -> None:
        self._conditional = conditional
        self._version = "" if content is None else "0"
        self.content = content
        self.contents: set[bytes] = set()
        self.patient: list[bool] = []
        self.failing: set[int] = set()
        self.error: Exception = StoreError("busy", hint="wait")
        self.looks = 0

    def write(
        self, name: str, data: bytes, *, expected: str | None = None, patient: bool = True
    ) -> str | None:
        if self._conditional and expected not in (None, self._version):
            return None
        self.patient.append(patient)
        if len(self.patient) in self.failing:
            raise self.error
        self.contents.add(data)
        self.content, self._version = data, str(len(self.patient))
        return self._version

    def read_version(self, name: str, *, patient: bool = True) -> tuple[str, bytes] | None:
        self.looks += 1
        return None if self.content is None else (self._version, self.content)

    def release(self, name: str, version: str) -> None:
        self.write(name, RELEASED, expected=version, patient=False)

    def delete(self, name: str) -> None:
        self.content, self._version = None, ""


OTHER = b'{"host": "elsewhere", "process": 1}'


def lease_on(bucket: MemoryBucket) -> lease.Lease:
    return lease.Lease(bucket, "run/lock", "s3://bucket/run")


def test_a_renewal_is_not_tried_again_for_so_long_that_the_lease_runs_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.001)
    bucket = MemoryBucket()
    bucket.failing = {2}
    held = lease_on(bucket)
    held.take()
    while len(bucket.patient) < 4:
        time.sleep(0.001)
    held.give_back()
    held.confirm()
    assert bucket.patient[0] is True
    assert set(bucket.patient[1:]) == {False}
    # On S3 an object's version is that of its content.
    assert len(bucket.contents) == len(bucket.patient) - 1


def test_an_interruption_of_other_threads_does_not_end_the_renewals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.001)
    bucket = MemoryBucket()
    bucket.failing, bucket.error = {2}, stopped()
    held = lease_on(bucket)
    held.take()
    for _ in range(5000):
        time.sleep(0.001)
        if len(bucket.patient) >= 4:
            break
    assert len(bucket.patient) >= 4
    held.confirm()
    held.give_back()
    assert bucket.content == RELEASED


def test_an_interrupted_release_does_not_hide_what_ended_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 1000.0)
    bucket = MemoryBucket()
    bucket.failing, bucket.error = {2}, stopped()
    held = lease_on(bucket)
    held.take()
    held.give_back()
    assert len(bucket.patient) == 2


def test_a_launcher_that_wakes_up_renews_before_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 1000.0)
    bucket = MemoryBucket()
    held = lease_on(bucket)
    held.take()
    held.confirm()
    assert len(bucket.patient) == 1
    monkeypatch.setattr(lease, "LEASE_SECONDS", -1.0)
    held.confirm()
    assert len(bucket.patient) == 2
    bucket.failing = {3}
    with pytest.raises(StorageError, match="cannot renew the lease on the output"):
        held.confirm()
    bucket.write("run/lock", OTHER)
    for _ in range(2):
        with pytest.raises(StorageError, match="Another launcher took it over"):
            held.confirm()
    held.give_back()
    assert bucket.content == OTHER


def test_a_released_lease_is_free_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "POLL_SECONDS", 1000.0)
    bucket = MemoryBucket()
    for _ in range(2):
        held = lease_on(bucket)
        held.take()
        assert bucket.content != RELEASED
        held.give_back()
        assert bucket.content == RELEASED


def test_a_lease_that_was_taken_over_without_an_answer_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = MemoryBucket(content=RELEASED)
    real = bucket.write
    # The first try's answer is lost, and its retry conflicts with the version that it wrote.
    monkeypatch.setattr(bucket, "write", lambda *given, **more: real(*given, **more) and None)
    held = lease_on(bucket)
    held.take()
    held.give_back()
    assert bucket.content == RELEASED


def test_a_lease_that_is_released_while_it_is_watched_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = MemoryBucket(content=OTHER)
    monkeypatch.setattr(lease.time, "sleep", lambda _: bucket.write("run/lock", RELEASED))
    held = lease_on(bucket)
    held.take()
    held.give_back()
    assert (bucket.content, bucket.looks) == (RELEASED, 3)


def test_a_launcher_that_is_slow_to_give_back_leaves_its_successor_s_lease() -> None:
    bucket = MemoryBucket()
    held = lease_on(bucket)
    held.take()
    bucket.write("run/lock", OTHER)
    held.give_back()
    assert bucket.content == OTHER


@pytest.mark.parametrize("content", [None, OTHER])
def test_a_store_that_ignores_conditions_is_refused(content: bytes | None) -> None:
    bucket = MemoryBucket(conditional=False, content=content)
    with pytest.raises(UserError, match=r"the store ignores If-None-Match.*'s3://bucket/run'"):
        lease_on(bucket).take()
    assert bucket.content is None


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"[1]", b"3", b"\xff"])
def test_a_damaged_lease_runs_out_like_one_that_nobody_renews(
    folder: BucketFolder, bucket: Bucket, content: bytes
) -> None:
    bucket.put(f"run/{LOCK}", content)
    with folder.hold() as hold:
        hold.confirm()
    assert bucket.names() == []
