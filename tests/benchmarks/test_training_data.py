import json
import os
import subprocess
import sys

import pytest

from benchmarks import training_data
from benchmarks.process import ROOT, own_memory
from benchmarks.training_data import Measured, prepared, table
from trainer.data.sources.source_specs import open_source


@pytest.mark.parametrize("source", training_data.SOURCES)
def test_each_source_holds_the_images_asked_for(source, tmp_path, monkeypatch):
    monkeypatch.setattr(training_data, "_BASE", 300)
    spec = prepared(source, 700, tmp_path)
    assert prepared(source, 700, tmp_path) == spec
    digits = open_source(spec).read(validation_fraction=0.1)
    test = 300 if source == "idx" else 0  # its own
    assert sum(len(split) for split in digits.splits().values()) == 700 + test
    assert all(digits.train_counts())


def test_the_factor_is_the_growth_of_memory_in_images():
    times = {"ready": 1.0, "read": 2.0, "first": 3.0, "processor": 4.0, "images_per_second": None}
    found = [
        Measured("shards", "memory", images, peak_bytes=10**9 + 2 * 784 * images, **times)
        for images in (1_000, 5_000)
    ]
    assert [row[-1] for row in table(found).rows] == ["–", "2.00"]


def test_mapped_files_are_not_a_process_s_own_memory(tmp_path):
    (tmp_path / "file").write_bytes(bytes(64 * 2**20))
    code = (
        "import mmap, sys; file = open(sys.argv[1], 'rb');"
        "pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ); sum(pages[::4096]);"
        "own = bytearray(b'x') * 32 * 2**20; print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "file"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        found = own_memory(process.pid)
        process.stdin.close()
    assert 32 * 2**20 <= found < 64 * 2**20


@pytest.mark.slow
def test_the_first_steps_are_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(training_data, "_BASE", 300)
    spec = prepared("idx", 3_000, tmp_path)
    command = [sys.executable, "-m", "benchmarks.first_steps", spec, str(tmp_path / "cache"), "2"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    assert 0 < told["ready"] < told["read"] < told["first"]
    assert told["images"]["test"] == 300
