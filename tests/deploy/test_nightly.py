"""The nightly job over three days, by cloudbuild.yaml's own step, against the emulator."""

import csv
import io
import os
import signal
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest

from schemas.manifest import Manifest
from tests.deploy import cloud_build
from tests.gcs_emulator import Bucket, Proxy


def rows(bucket: Bucket, folder: str) -> dict[str, str]:
    """The digit of each image of an output; one that has two answers fails."""
    found: dict[str, str] = {}
    for name in bucket.names():
        if name.startswith(f"{folder}/predictions/") and name.endswith(".csv"):
            for row in csv.DictReader(io.StringIO(bucket.read(name).decode())):
                assert row["image"] not in found
                found[row["image"]] = row["digit"]
    return found


def counts(bucket: Bucket, folder: str) -> tuple[int, int, int, int]:
    found = Manifest.from_json(bucket.read(f"{folder}/manifest.json").decode()).counts
    return found.listed, found.scored, found.failed, found.skipped


def test_three_days(
    bucket: Bucket,
    proxy: Proxy,
    digits: np.ndarray,
    labels: np.ndarray,
    png_of: Callable,
    bundle_path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DIGITMILL", f"{sys.executable} -m digitmill")

    def arrives(first: int, last: int) -> None:
        for number in range(first, last):
            bucket.put(f"incoming/{number:03d}.png", png_of(digits[number]))

    def given(night: int) -> dict[str, str]:
        return {
            "_INPUT": f"{bucket.uri}/incoming",
            "_MODEL": str(bundle_path),
            "_NIGHTS": f"{bucket.uri}/nights",
            "_NIGHT": f"2026-01-0{night}",
            "_MAX_FAILURE_RATE": "0.2",
            "_STATE": f"{bucket.uri}/state",
        }

    # The first day: one of 31 files is broken.
    arrives(0, 30)
    bucket.put("incoming/broken.png", b"\x89PNG\r\n\x1a\nnot much more")
    code, printed = cloud_build.run("score", given(1))
    assert code == 0, printed
    assert counts(bucket, "nights/2026-01-01") == (31, 30, 1, 0)
    assert f"{bucket.name}/nights/2026-01-01/report.html" in printed

    # The second day: 20 more, one that is overwritten; the build dies while it reads.
    arrives(30, 50)
    bucket.put("incoming/000.png", png_of(digits[100]))
    reading, killed = threading.Event(), threading.Event()

    def dies() -> None:
        reading.set()
        killed.wait(120)

    proxy.faults["incoming/040.png"].append(dies)
    process = cloud_build.start("score", given(2))
    try:
        assert reading.wait(300), process.stdout
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        killed.set()
    assert "nights/2026-01-02/run.json" in bucket.names()
    assert "nights/2026-01-02/manifest.json" not in bucket.names()
    code, printed = cloud_build.run("score", given(2))
    assert code == 0, printed
    assert counts(bucket, "nights/2026-01-02") == (51, 21, 0, 30)

    # The third day: of ten more, four are broken; the build says so, and all is accounted for.
    arrives(50, 56)
    for number in range(4):
        bucket.put(f"incoming/torn{number}.png", png_of(digits[number])[:40])
    code, printed = cloud_build.run("score", given(3))
    assert code == 3, printed
    assert counts(bucket, "nights/2026-01-03") == (61, 6, 4, 51)
    assert f"{bucket.name}/nights/2026-01-03/report.html" in printed

    # The merged state: every image once, in its last version.
    assert counts(bucket, "state/2026-01-03") == (61, 56, 5, 0)
    state = rows(bucket, "state/2026-01-03")
    assert set(state) == {f"{bucket.uri}/incoming/{number:03d}.png" for number in range(56)}
    truth = {f"{bucket.uri}/incoming/{number:03d}.png": labels[number] for number in range(1, 56)}
    truth[f"{bucket.uri}/incoming/000.png"] = labels[100]
    right = sum(int(state[image]) == label for image, label in truth.items())
    assert right >= 45
    nights = [rows(bucket, f"nights/2026-01-0{night}") for night in (1, 2, 3)]
    assert [len(night) for night in nights] == [30, 21, 6]
    assert state == nights[0] | nights[1] | nights[2]
    failures = bucket.read("state/2026-01-03/reports/failures.csv").decode()
    assert failures.count("\n") == 6
    # Nothing was read twice but what the kill had cut off.
    assert proxy.reads("incoming/001.png") == 1
