import json
import subprocess
import sys
import time

import pytest

from pipelines.storage import lease
from pipelines.storage.google import CloudFolder
from pipelines.storage.interface import LOCK
from schemas.errors import StorageError, UserError
from tests.gcs_emulator import Bucket


@pytest.fixture
def folder(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> CloudFolder:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.6)
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.1)
    monkeypatch.setattr(lease, "_POLL_SECONDS", 0.05)
    return CloudFolder(bucket.name, "run")


def put(bucket: Bucket, **changes: object) -> None:
    bucket.put(f"run/{LOCK}", json.dumps(lease._this_process() | changes).encode())


def test_of_two_launchers_the_second_is_refused(folder: CloudFolder, bucket: Bucket) -> None:
    with folder.hold() as hold:
        with pytest.raises(UserError, match="one launcher at a time"), folder.hold():
            pass
        hold.confirm()
        folder.check("manifest.json")
    assert bucket.names() == []


def test_a_holder_elsewhere_that_died_runs_out(folder: CloudFolder, bucket: Bucket) -> None:
    put(bucket, host="elsewhere")
    started = time.monotonic()
    with folder.hold() as hold:
        assert time.monotonic() - started >= lease.LEASE_SECONDS
        hold.confirm()
    assert bucket.names() == []


def test_a_holder_here_that_died_is_not_waited_for(
    folder: CloudFolder, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1000.0)
    code = "import json\nfrom pipelines.storage import lease\nprint(json.dumps(lease._this_process()))"
    dead = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
    bucket.put(f"run/{LOCK}", dead)
    with folder.hold():
        pass


def test_another_process_under_the_same_number_is_not_the_holder(
    folder: CloudFolder, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1000.0)
    put(bucket, begun="1")
    with folder.hold():
        pass


def test_who_slept_through_its_lease_learns_that_it_lost_it(folder: CloudFolder, bucket: Bucket) -> None:
    with folder.hold() as hold:
        put(bucket, host="elsewhere")
        for _ in range(200):
            time.sleep(0.02)
            if hold._lost:
                break
        with pytest.raises(StorageError, match="another launcher has taken it over"):
            hold.confirm()
    assert bucket.names() == [f"run/{LOCK}"]


def test_a_lease_given_back_while_it_is_watched_is_free(
    folder: CloudFolder, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, host="elsewhere")
    real = lease.Lease._seen
    seen = []

    def goes(self: lease.Lease) -> object:
        seen.append(1)
        if len(seen) == 2:
            bucket.delete(f"run/{LOCK}")
        return real(self)

    monkeypatch.setattr(lease.Lease, "_seen", goes)
    with folder.hold() as hold:
        hold.confirm()
    assert len(seen) == 2
